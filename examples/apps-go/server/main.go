// A server that says when it is ready, and greets.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
)

var greeting = "set by build_flags"

func main() {
	http.HandleFunc("/", func(answer http.ResponseWriter, request *http.Request) {
		fmt.Fprintf(answer, "%s from %s, %s\n", greeting, os.Getenv("OVENBIRD_APP"), where)
	})
	port := os.Getenv("PORT")
	if port == "" {
		port = "8000"
	}
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		log.Fatal(err)
	}
	ready()
	log.Fatal(http.Serve(listener, nil))
}

// ready tells systemd that others may come now (sd_notify(3)).
func ready() {
	place := os.Getenv("NOTIFY_SOCKET")
	if place == "" {
		return
	}
	if place[0] == '@' {
		place = "\x00" + place[1:]
	}
	socket, err := net.Dial("unixgram", place)
	if err != nil {
		log.Print(err)
		return
	}
	defer socket.Close()
	socket.Write([]byte("READY=1"))
}
