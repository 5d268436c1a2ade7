// Command words counts the words of every file in a folder and prints the most frequent ones: an ordinary Go
// program, whose folder is a volume of the pod.
package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"sort"
	"strings"
)

func count(folder string) (map[string]int, error) {
	words := map[string]int{}
	tree := os.DirFS(folder)
	err := fs.WalkDir(tree, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		// A ConfigMap's folder holds its files twice: below `..TIME`, and as links beside that.
		if strings.HasPrefix(entry.Name(), "..") {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if entry.IsDir() {
			return nil
		}
		text, err := fs.ReadFile(tree, path)
		if err != nil {
			return err
		}
		for _, word := range strings.Fields(strings.ToLower(string(text))) {
			words[strings.Trim(word, ".,;:!?\"'()")]++
		}
		return nil
	})
	return words, err
}

func main() {
	top := flag.Int("top", 3, "how many words to print")
	flag.Parse()
	words, err := count(flag.Arg(0))
	if err != nil {
		fmt.Fprintln(os.Stderr, "words:", err)
		os.Exit(1)
	}
	order := make([]string, 0, len(words))
	for word := range words {
		order = append(order, word)
	}
	sort.Slice(order, func(i, j int) bool {
		a, b := order[i], order[j]
		return words[a] > words[b] || words[a] == words[b] && a < b
	})
	for _, word := range order[:min(*top, len(order))] {
		fmt.Printf("%d %s\n", words[word], word)
	}
}
