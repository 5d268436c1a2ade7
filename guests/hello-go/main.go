// hello-go: the Go twin of hello.c: prints `hello REALTIME_NS`; with any argument it then sleeps for
// ever.
package main

import (
	"fmt"
	"os"
	"time"
)

var started = time.Now().UnixNano()

func main() {
	fmt.Printf("hello %d\n", started)
	for len(os.Args) > 1 {
		time.Sleep(time.Hour)
	}
}
