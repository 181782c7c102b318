// Behaviour: text that is still in stdio's buffer while the program sleeps must come out once, in order.
#include <stdio.h>
#include <unistd.h>

static char room[512];

int main(void) {
    // A buffer of our own, so that what is in flight does not depend on what kind of file stdout is.
    setvbuf(stdout, room, _IOFBF, sizeof room);
    for (int i = 0; i < 6; i++) {
        printf("full %d ", i);
        usleep(5 * 1000);
        printf("(rest of %d)\n", i);
    }
    // More than the buffer holds: part is written, part is in flight.
    for (int i = 0; i < 40; i++) printf("line %02d of a long run of lines\n", i);
    usleep(10 * 1000);
    fflush(stdout);

    setvbuf(stdout, NULL, _IOLBF, sizeof room);
    printf("half a ");
    usleep(5 * 1000);
    printf("line\n");

    setvbuf(stdout, NULL, _IONBF, 0);
    printf("unbuffered ");
    usleep(5 * 1000);
    printf("end\n");
    return 0;
}
