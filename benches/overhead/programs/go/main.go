// Command main is work as Go programs do it: maps, sorting, strings, JSON, goroutines and channels. The line in the
// middle is read by a comparison of sort.Slice.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"
)

var (
	checksum        uint64 = 7
	asked, answered time.Time
	input           = bufio.NewReader(os.Stdin)
)

func mix(n uint64) { checksum = checksum*31 + n }

func midway() {
	asked = time.Now()
	if _, err := input.ReadString('\n'); err != nil {
		fmt.Fprintln(os.Stderr, "no line on standard input:", err)
		os.Exit(1)
	}
	answered = time.Now()
}

type record struct {
	ID    int      `json:"id"`
	Name  string   `json:"name"`
	Tags  []string `json:"tags"`
	Value float64  `json:"value"`
}

func fib(n int) uint64 {
	if n < 2 {
		return uint64(n)
	}
	return fib(n-1) + fib(n-2)
}

func maps(size int) {
	counts := map[string]int{}
	for i := 0; i < size; i++ {
		counts["k"+strconv.Itoa(i*7919%700)] += i
	}
	keys := make([]string, 0, len(counts))
	for key := range counts {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for i, key := range keys {
		mix(uint64(i * counts[key]))
	}
}

func texts(size int) {
	var builder strings.Builder
	for i := 0; i < size; i++ {
		fmt.Fprintf(&builder, "%05d:%s,", i, strings.Repeat("ab", i%5))
	}
	text := builder.String()
	mix(uint64(strings.Count(text, "ab") + len(strings.Split(text, ",")) + strings.Index(text, "00777")))
}

func documents(size int) {
	records := make([]record, size)
	for i := range records {
		records[i] = record{i, "n" + strconv.Itoa(i), []string{"a", "b"}, float64(i) / 8}
	}
	bytes, err := json.Marshal(records)
	if err != nil {
		panic(err)
	}
	var back []record
	if err := json.Unmarshal(bytes, &back); err != nil {
		panic(err)
	}
	mix(uint64(len(bytes) + back[size/2].ID))
}

func channels(size int) {
	numbers, squares := make(chan int), make(chan int, 16)
	go func() {
		for i := 0; i < size; i++ {
			numbers <- i
		}
		close(numbers)
	}()
	go func() {
		for n := range numbers {
			squares <- n * n
		}
		close(squares)
	}()
	sum := 0
	for n := range squares {
		sum += n
	}
	mix(uint64(sum))
}

func sorts(size, at int) {
	list := make([]int, size)
	seed, count := uint32(42), 0
	for i := range list {
		seed = seed*1664525 + 1013904223
		list[i] = int(seed >> 4)
	}
	sort.Slice(list, func(i, j int) bool {
		if count++; count == at {
			midway()
		}
		return list[i] < list[j]
	})
	mix(uint64(list[0] + list[size/2] + count))
}

func main() {
	scale, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	start := time.Now()
	for round := 1; round <= 2*scale; round++ {
		mix(fib(22))
		maps(10000)
		texts(2000)
		documents(300)
		channels(1000)
		at := -1
		if round == scale {
			at = 50000
		}
		sorts(10000, at)
	}
	end := time.Now()
	fmt.Printf("checksum %016x\nfirst %d\nsecond %d\n", checksum, asked.Sub(start).Nanoseconds(), end.Sub(answered).Nanoseconds())
}
