// Go: server echo|http ENDPOINT, or server echo-tls CERTIFICATE KEY ENDPOINT
package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
)

const (
	readBytes = 256 * 1024
	blockSize = 1 << 20
)

// Of all byte values in turn.
var block = make([]byte, blockSize)

func echo(connection net.Conn) {
	defer connection.Close()
	buffer := make([]byte, readBytes)
	for {
		n, err := connection.Read(buffer)
		if n > 0 {
			if _, err := connection.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func serveEcho(listener net.Listener) error {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go echo(connection)
	}
}

func answer(writer http.ResponseWriter, request *http.Request) {
	digits, isBytes := strings.CutPrefix(request.URL.Path, "/bytes/")
	size, err := strconv.Atoi(digits)
	header := writer.Header()
	header["Date"] = nil
	header.Set("Content-Type", "application/octet-stream")
	if !isBytes || err != nil || size < 0 || size > blockSize {
		header.Set("Content-Length", "0")
		writer.WriteHeader(http.StatusNotFound)
		return
	}
	header.Set("Content-Length", strconv.Itoa(size))
	_, _ = writer.Write(block[:size]) // a client that has gone
}

// The listener, and where it listens, as the harness reads it.
func listen(endpoint string) (net.Listener, map[string]any, error) {
	told := map[string]any{"loop": "go", "version": runtime.Version()}
	if endpoint == "tcp" {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err == nil {
			told["port"] = listener.Addr().(*net.TCPAddr).Port
		}
		return listener, told, err
	}
	path, isUnix := strings.CutPrefix(endpoint, "unix:")
	if !isUnix {
		return nil, nil, fmt.Errorf("%s: not tcp or unix:/path", endpoint)
	}
	_ = os.Remove(path) // of an earlier run, if there is one
	told["path"] = path
	listener, err := net.Listen("unix", path)
	return listener, told, err
}

func serve(arguments []string) error {
	kind, endpoint := arguments[0], arguments[len(arguments)-1]
	listener, told, err := listen(endpoint)
	if err != nil {
		return err
	}
	if kind == "echo-tls" {
		pair, err := tls.LoadX509KeyPair(arguments[1], arguments[2])
		if err != nil {
			return err
		}
		listener = tls.NewListener(
			listener, &tls.Config{Certificates: []tls.Certificate{pair}})
	}
	text, err := json.Marshal(told)
	if err != nil {
		return err
	}
	fmt.Println(string(text))
	if kind == "http" {
		return http.Serve(listener, http.HandlerFunc(answer))
	}
	return serveEcho(listener)
}

func main() {
	runtime.GOMAXPROCS(1)
	for i := range block {
		block[i] = byte(i)
	}
	if len(os.Args) < 3 {
		log.Fatal("usage: server KIND [CERTIFICATE KEY] ENDPOINT")
	}
	log.Fatal(serve(os.Args[1:]))
}
