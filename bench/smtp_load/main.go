// Command smtp_load lets many SMTP clients hand over mails for a bounded time.
//
// Every reply must be the one that belongs to its command, 250 to the mail itself: anything else, or none, ends the
// program with exit code 1. Every mail has a sender of its own and the same text, so that whoever looks into the mail
// store sees whether one was lost, doubled or changed. On success one line of JSON tells what was acknowledged, and how
// many mails of it in how many seconds, counted from when every client had its first one.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

const (
	// For one group of commands and their replies, on a slow machine under load, with a mail of 50 MB.
	answerTime = 60 * time.Second
	// Of a connection that is kept: fewer than any of the servers allows.
	mailsPerConnection = 500
)

var (
	address   = flag.String("address", "", "host:port of the SMTP server")
	clients   = flag.Int("clients", 1, "clients at the same time")
	seconds   = flag.Float64("seconds", 1, "how long to measure")
	limit     = flag.Int("limit", 1_000_000, "mails of the measured time after which to stop in any case")
	size      = flag.Int("size", 4096, "bytes of a mail's text")
	run       = flag.Int("run", 0, "a number that the senders' addresses contain")
	pipelined = flag.Bool("pipelined", false, "send commands in groups, as RFC 2920 allows it")
	reconnect = flag.Bool("reconnect", false, "a connection for every mail")
)

// result is what the program prints.
type result struct {
	Mails        int     `json:"mails"`        // of the measured time
	Seconds      float64 `json:"seconds"`      // that they took
	Acknowledged int     `json:"acknowledged"` // all mails, also those before the measured time
	Size         int     `json:"size"`         // of each mail's text, as it must be stored
	SHA256       string  `json:"sha256"`       // of it
}

// client is one SMTP client.
type client struct {
	number       int
	wire         []byte // the text with its end, as it is sent
	conn         net.Conn
	replies      *bufio.Reader
	in           bool // in a transaction: the server waits for the text
	mails        int  // of this connection
	acknowledged int
}

func main() {
	flag.Parse()
	measured, err := measure()
	if err != nil {
		fmt.Fprintln(os.Stderr, "smtp_load:", err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(measured); err != nil {
		fmt.Fprintln(os.Stderr, "smtp_load:", err)
		os.Exit(1)
	}
}

func measure() (result, error) {
	text := makeText(*size)
	wire := stuff(text)
	all := make([]*client, *clients)
	for number := range all {
		all[number] = &client{number: number, wire: wire}
		defer all[number].disconnect()
	}
	if err := each(all, func(c *client) error { return c.mail(*reconnect) }); err != nil {
		return result{}, err
	}
	share := max(1, *limit / *clients)
	start := time.Now()
	deadline := start.Add(time.Duration(*seconds * float64(time.Second)))
	err := each(all, func(c *client) error {
		for last, sent := false, 1; !last; sent++ {
			last = sent >= share || !time.Now().Before(deadline)
			if err := c.mail(last || *reconnect); err != nil {
				return err
			}
		}
		return nil
	})
	elapsed := time.Since(start)
	sum := sha256.Sum256(text)
	measured := result{Seconds: elapsed.Seconds(), Size: len(text), SHA256: hex.EncodeToString(sum[:])}
	for _, c := range all {
		measured.Mails += c.acknowledged - 1
		measured.Acknowledged += c.acknowledged
	}
	return measured, err
}

// each calls do for all clients at the same time, waits for all, and returns one of the errors.
func each(all []*client, do func(*client) error) error {
	errs := make([]error, len(all))
	var group sync.WaitGroup
	for i, c := range all {
		group.Add(1)
		go func() {
			defer group.Done()
			errs[i] = do(c)
		}()
	}
	group.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("client %d, after %d mails: %w", i, all[i].acknowledged, err)
		}
	}
	return nil
}

// mail hands over one mail; with last the connection ends with it.
func (c *client) mail(last bool) error {
	quit := last || c.mails+1 == mailsPerConnection
	if c.conn == nil {
		if err := c.connect(); err != nil {
			return err
		}
	}
	var err error
	if *pipelined {
		err = c.mailInGroups(quit)
	} else {
		err = c.mailStepByStep(quit)
	}
	if err != nil {
		return err
	}
	c.mails++
	if quit {
		c.disconnect()
	}
	return nil
}

func (c *client) connect() error {
	conn, err := net.DialTimeout("tcp", *address, answerTime)
	if err != nil {
		return err
	}
	c.conn, c.replies, c.in, c.mails = conn, bufio.NewReader(conn), false, 0
	if err := c.exchange(nil, 220); err != nil {
		return err
	}
	return c.exchange(net.Buffers{hello}, 250)
}

// mailStepByStep waits for the reply to every command.
func (c *client) mailStepByStep(quit bool) error {
	if err := c.exchange(net.Buffers{c.sender(c.acknowledged)}, 250); err != nil {
		return err
	}
	if err := c.exchange(net.Buffers{recipient}, 250); err != nil {
		return err
	}
	if err := c.exchange(net.Buffers{data}, 354); err != nil {
		return err
	}
	if err := c.exchange(net.Buffers{c.wire}, 250); err != nil {
		return err
	}
	c.acknowledged++
	if quit {
		return c.exchange(net.Buffers{goodbye}, 221)
	}
	return nil
}

// mailInGroups sends what RFC 2920 section 3.1 lets a client send at once: the commands up to DATA, and the text with
// the commands of the next mail, or QUIT, behind it.
func (c *client) mailInGroups(quit bool) error {
	if !c.in {
		if err := c.exchange(net.Buffers{c.envelope(c.acknowledged)}, 250, 250, 354); err != nil {
			return err
		}
	}
	behind := goodbye
	if !quit {
		behind = c.envelope(c.acknowledged + 1)
	}
	if err := c.exchange(net.Buffers{c.wire, behind}, 250); err != nil {
		return err
	}
	c.acknowledged++
	if quit {
		return c.exchange(nil, 221)
	}
	c.in = true
	return c.exchange(nil, 250, 250, 354)
}

var (
	hello     = []byte("EHLO bench.example\r\n")
	recipient = []byte("RCPT TO:<sink@bench.example>\r\n")
	data      = []byte("DATA\r\n")
	goodbye   = []byte("QUIT\r\n")
)

func (c *client) sender(mail int) []byte {
	return fmt.Appendf(nil, "MAIL FROM:<%d.%d.%d@bench.example>\r\n", *run, c.number, mail)
}

func (c *client) envelope(mail int) []byte {
	return append(append(c.sender(mail), recipient...), data...)
}

// exchange sends bytes and reads one reply for each code, which it must have.
func (c *client) exchange(sent net.Buffers, codes ...int) error {
	if err := c.conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	if _, err := sent.WriteTo(c.conn); err != nil { // in one call of the system, so mostly in one piece
		return err
	}
	for _, code := range codes {
		if err := c.reply(code); err != nil {
			return err
		}
	}
	return nil
}

// reply reads one reply, of any number of lines.
func (c *client) reply(code int) error {
	for {
		line, err := c.replies.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("no whole reply, %d expected: %w", code, err)
		}
		if len(line) < 5 || string(line[:3]) != strconv.Itoa(code) || (line[3] != ' ' && line[3] != '-') {
			return fmt.Errorf("%d expected, received %q", code, line)
		}
		if line[3] == ' ' {
			return nil
		}
	}
}

func (c *client) disconnect() {
	if c.conn != nil {
		c.conn.Close() // every reply was read; nothing depends on how the connection ends
		c.conn = nil
	}
}

// makeText makes a mail of so many bytes, or of its header if that is longer. One line of 16 begins with a dot.
func makeText(size int) []byte {
	text := make([]byte, 0, size+128)
	text = append(text, "From: bench@bench.example\r\nTo: sink@bench.example\r\nSubject: benchmark\r\n\r\n"...)
	for number := 0; len(text)+2 < size; number++ {
		length := min(76, size-len(text)-2)
		if rest := size - len(text) - 2 - length; rest > 0 && rest < 3 {
			length -= 3 // room for one more line
		}
		for column := range length {
			text = append(text, byte('a'+(number+column)%26))
		}
		if number%16 == 0 {
			text[len(text)-length] = '.'
		}
		text = append(text, "\r\n"...)
	}
	return text
}

// stuff makes the text what is sent: a dot before each dot at the beginning of a line, and the end of the mail.
func stuff(text []byte) []byte {
	wire := make([]byte, 0, len(text)+len(text)/16+8)
	beginning := true
	for _, octet := range text {
		if beginning && octet == '.' {
			wire = append(wire, '.')
		}
		beginning = octet == '\n'
		wire = append(wire, octet)
	}
	return append(wire, ".\r\n"...)
}
