// Behaviour: a dialogue on stdin that keeps notes in files, with sleeps and goroutines in between.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const work = "/work"

func nap() { time.Sleep(5 * time.Millisecond) }

func must(err error) {
	if err != nil {
		fmt.Println("FAILED", err)
		os.Exit(1)
	}
}

// A line for each note, in the order of their names. The log is left out: it grows at its own pace.
func list() {
	must(filepath.WalkDir(work+"/notes", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		nap()
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Println("  ", strings.TrimPrefix(path, work), info.Size())
		return nil
	}))
}

func main() {
	must(os.MkdirAll(work+"/notes/old", 0o777))
	log, err := os.OpenFile(work+"/log", os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o666)
	must(err)
	written := make(chan string)
	done := make(chan int)
	go func() {
		n := 0
		for line := range written {
			nap()
			_, err := fmt.Fprintln(log, line)
			must(err)
			n++
		}
		done <- n
	}()

	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		word, rest, _ := strings.Cut(in.Text(), " ")
		written <- in.Text()
		switch word {
		case "put":
			name, text, _ := strings.Cut(rest, " ")
			must(os.WriteFile(work+"/notes/"+name, []byte(text), 0o666))
			fmt.Println("put", name)
		case "get":
			text, err := os.ReadFile(work + "/notes/" + rest)
			if errors.Is(err, fs.ErrNotExist) {
				fmt.Println("no", rest)
			} else {
				must(err)
				fmt.Printf("%q\n", text)
			}
		case "archive":
			must(os.Rename(work+"/notes/"+rest, work+"/notes/old/"+rest))
			fmt.Println("archived", rest)
		case "list":
			list()
		default:
			fmt.Println("what is", word)
		}
		nap()
	}
	must(in.Err())
	close(written)
	fmt.Println("logged", <-done)

	nap()
	_, err = log.Seek(0, io.SeekStart)
	must(err)
	all, err := io.ReadAll(log)
	must(err)
	fmt.Println("log", len(all), strings.Count(string(all), "\n"))
	must(log.Close())
	must(os.RemoveAll(work + "/notes/old"))
	must(os.Remove(work + "/log"))
	list()
}
