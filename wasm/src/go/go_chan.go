// Behaviour: goroutines, channels, timers and select, whose order of events is fixed by construction.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"
)

const ms = time.Millisecond

// Squares come out in the order in which the numbers went in, whoever is slow.
func pipeline() {
	numbers := make(chan int)
	squares := make(chan int, 2)
	go func() {
		defer close(numbers)
		for i := 1; i <= 5; i++ {
			time.Sleep(2 * ms)
			numbers <- i
		}
	}()
	go func() {
		defer close(squares)
		for n := range numbers {
			squares <- n * n
			time.Sleep(3 * ms)
		}
	}()
	for s := range squares {
		fmt.Println("square", s)
	}
}

// Many goroutines asleep at once; what they add up to does not depend on who wakes first.
func crowd() {
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := 0
	seen := make(map[int]bool)
	for i := range 50 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			time.Sleep(time.Duration(i%5) * ms)
			mu.Lock()
			defer mu.Unlock()
			total += i
			seen[i] = true
		}()
	}
	wg.Wait()
	fmt.Println("crowd", total, len(seen))
}

// Of two events one is an hour away: which comes first does not depend on how late the program wakes.
func choose() {
	never := make(chan string)
	for i := range 3 {
		select {
		case <-never:
			fmt.Println("never")
		case <-time.After(5 * ms):
			fmt.Println("timeout", i)
		}
	}
	soon := make(chan string)
	go func() {
		time.Sleep(5 * ms)
		soon <- "message"
	}()
	select {
	case m := <-soon:
		fmt.Println(m)
	case <-time.After(time.Hour):
		fmt.Println("an hour is over")
	}
	select {
	case <-never:
	default:
		fmt.Println("nothing there")
	}

	ctx, cancel := context.WithTimeout(context.Background(), 6*ms)
	defer cancel()
	<-ctx.Done()
	fmt.Println(errors.Is(ctx.Err(), context.DeadlineExceeded))

	stopped := time.AfterFunc(time.Hour, func() { fmt.Println("never") })
	fmt.Println("stopped", stopped.Stop())
	ticker := time.NewTicker(4 * ms)
	for i := range 3 {
		<-ticker.C
		fmt.Println("tick", i)
	}
	ticker.Stop()
}

// Garbage is collected while goroutines sleep; the stack of this one grows and is copied.
func collect() {
	var deep func(n int) int
	deep = func(n int) int {
		var room [64]int
		if n == 0 {
			time.Sleep(4 * ms)
			runtime.GC()
			return 1
		}
		room[n%64] = n
		return deep(n-1) + room[n%64]%3
	}
	kept := make([][]byte, 0)
	for i := range 40 {
		b := make([]byte, 20000)
		b[i] = byte(i)
		if i%4 == 0 {
			kept = append(kept, b)
		}
	}
	fmt.Println("deep", deep(500))
	sum := 0
	for i, b := range kept {
		sum += int(b[i*4])
	}
	fmt.Println("kept", len(kept), sum)
}

func recovered() (err error) {
	defer func() {
		if r := recover(); r != nil {
			time.Sleep(3 * ms)
			err = fmt.Errorf("recovered: %v", r)
		}
	}()
	time.Sleep(3 * ms)
	var table []int
	return fmt.Errorf("not reached %d", table[len(table)+3])
}

func main() {
	start := time.Now()
	pipeline()
	crowd()
	choose()
	collect()
	fmt.Println(recovered())
	fmt.Println("long enough", time.Since(start) >= 50*ms)
	os.Exit(3)
}
