// Command load lets many clients of a line echo service send lines of 64 bytes, one at a time, for a bounded time.
//
// Every line is unlike every other one, and every byte of its echo is compared: an answer that is late, lost, damaged or
// another connection's ends the program with exit code 1. On success one line of JSON tells the round trips, counted
// from when every client had its first one, and the seconds they took.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

const (
	lineSize     = 64
	counterStart = 8 // the bytes before it are the client's number
	counterSize  = 12
	answerTime   = 20 * time.Second // for one answer, on a slow machine under load
)

var (
	address     = flag.String("address", "", "host:port of the echo service")
	connections = flag.Int("connections", 1, "clients at the same time")
	seconds     = flag.Float64("seconds", 1, "how long to measure")
	limit       = flag.Int("limit", 1_000_000, "round trips after which to stop in any case")
	reconnect   = flag.Bool("reconnect", false, "a connection for every line")
)

// client sends lines with its number and a counter, padded to lineSize.
type client struct {
	number         int
	conn           net.Conn
	line, received [lineSize]byte
	counter        int
	counted        int // round trips of the measured time
}

func main() {
	flag.Parse()
	counted, elapsed, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	fmt.Printf("{\"round_trips\":%d,\"seconds\":%.6f}\n", counted, elapsed.Seconds())
}

func run() (int, time.Duration, error) {
	clients := make([]*client, *connections)
	for number := range clients {
		clients[number] = newClient(number)
		defer clients[number].disconnect()
	}
	if err := each(clients, (*client).roundTrip); err != nil {
		return 0, 0, err
	}
	share := max(1, *limit / *connections)
	start := time.Now()
	deadline := start.Add(time.Duration(*seconds * float64(time.Second)))
	err := each(clients, func(c *client) error {
		for c.counted < share && time.Now().Before(deadline) {
			if err := c.roundTrip(); err != nil {
				return err
			}
			c.counted++
		}
		return nil
	})
	elapsed := time.Since(start)
	counted := 0
	for _, c := range clients {
		counted += c.counted
	}
	return counted, elapsed, err
}

// each calls do for all clients at the same time, waits for all, and returns one of the errors.
func each(clients []*client, do func(*client) error) error {
	errs := make([]error, len(clients))
	var group sync.WaitGroup
	for i, c := range clients {
		group.Add(1)
		go func() {
			defer group.Done()
			errs[i] = do(c)
		}()
	}
	group.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("client %d: %w", i, err)
		}
	}
	return nil
}

func newClient(number int) *client {
	c := &client{number: number}
	for i := range c.line {
		c.line[i] = byte('a' + (number+i)%26)
	}
	c.line[lineSize-1] = '\n'
	putDigits(c.line[:counterStart], number)
	return c
}

func (c *client) roundTrip() error {
	if c.conn == nil {
		conn, err := net.DialTimeout("tcp", *address, answerTime)
		if err != nil {
			return err
		}
		c.conn = conn
	}
	c.counter++
	putDigits(c.line[counterStart:counterStart+counterSize], c.counter)
	if err := c.conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	if _, err := c.conn.Write(c.line[:]); err != nil {
		return err
	}
	if _, err := io.ReadFull(c.conn, c.received[:]); err != nil {
		return fmt.Errorf("no whole answer to line %d: %w", c.counter, err)
	}
	if !bytes.Equal(c.received[:], c.line[:]) {
		return fmt.Errorf("sent %q, received %q", c.line, c.received)
	}
	if *reconnect {
		c.disconnect()
	}
	return nil
}

func (c *client) disconnect() {
	if c.conn != nil {
		c.conn.Close() // the echo was whole; nothing depends on how the connection ends
		c.conn = nil
	}
}

// putDigits fills the buffer with a decimal number and zeros before it.
func putDigits(buffer []byte, number int) {
	var digits [20]byte
	text := strconv.AppendInt(digits[:0], int64(number), 10)
	for i := range buffer {
		buffer[i] = '0'
	}
	copy(buffer[len(buffer)-len(text):], text)
}
