// For the example of asynchronous host functions: asks its host for prices, as by a plain call.
#include <stdio.h>
#include <string.h>

__attribute__((import_module("shop"), import_name("price"))) int price(const char *name, int length);

int main(void) {
    const char *things[] = {"tea", "bread", "honey"};
    int sum = 0;
    for (int i = 0; i < 3; i++) {
        int cents = price(things[i], (int)strlen(things[i]));
        printf("guest: %s costs %d\n", things[i], cents);
        sum += cents;
    }
    printf("guest: together %d\n", sum);
    return 0;
}
