// Command null_worker answers RoadRunner's TCP events with no work at all: the ceiling of what any worker can reach.
//
// It speaks goridge v3 (3.8.3) on stdin and stdout: it echoes DATA, reads on after CONNECTED, and does nothing else that
// a worker is free to leave out. It parses no JSON and trusts RoadRunner's checksums.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

const (
	headerSize  = 12
	optionSize  = 4
	flagControl = 0x01
	maxPayload  = 1 << 24 // bytes; a benchmark's events are small, more is a broken stream
)

var (
	dataEvent = []byte(`"event":"DATA"`)
	stop      = []byte(`"stop"`)
	write     = []byte("WRITE")
	goOn      = []byte("CONTINUE") // also the answer to CLOSE, which RoadRunner ignores
)

func main() {
	if err := serve(bufio.NewReaderSize(os.Stdin, 1<<16), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "null_worker:", err)
		os.Exit(1)
	}
}

func serve(in *bufio.Reader, out io.Writer) error {
	var header [headerSize + optionSize]byte
	var payload, answer []byte
	for {
		if _, err := io.ReadFull(in, header[:headerSize]); err != nil {
			if err == io.EOF { // RoadRunner is gone
				return nil
			}
			return err
		}
		options := int(header[0]&0x0f) - headerSize/4
		length := int(binary.LittleEndian.Uint32(header[2:6]))
		if options < 0 || options > 1 || length > maxPayload {
			return fmt.Errorf("not a frame for a worker: %x", header[:headerSize])
		}
		if _, err := io.ReadFull(in, header[headerSize:headerSize+options*optionSize]); err != nil {
			return err
		}
		if cap(payload) < length {
			payload = make([]byte, length)
		}
		payload = payload[:length]
		if _, err := io.ReadFull(in, payload); err != nil {
			return err
		}
		switch {
		case header[1]&flagControl == 0 && options == 1:
			size := int(binary.LittleEndian.Uint32(header[headerSize:]))
			if size > length {
				return fmt.Errorf("a context of %d bytes in a payload of %d", size, length)
			}
			answer = respond(answer[:0], payload[:size], payload[size:])
		case bytes.Contains(payload, stop):
			return nil
		default: // the handshake
			answer = frame(answer[:0], flagControl, nil, fmt.Appendf(nil, `{"pid":%d}`, os.Getpid()))
		}
		if _, err := out.Write(answer); err != nil {
			return err
		}
	}
}

func respond(to, context, body []byte) []byte {
	if bytes.Contains(context, dataEvent) {
		return frame(to, 0, write, body)
	}
	return frame(to, 0, goOn, nil)
}

// frame appends one frame; with a context it has one option, the context's length.
func frame(to []byte, flags byte, context, body []byte) []byte {
	words := byte(headerSize / 4)
	if context != nil {
		words++
	}
	start := len(to)
	to = append(to, 1<<4|words, flags)
	to = binary.LittleEndian.AppendUint32(to, uint32(len(context)+len(body)))
	to = binary.LittleEndian.AppendUint32(to, crc32.ChecksumIEEE(to[start:]))
	to = append(to, 0, 0)
	if context != nil {
		to = binary.LittleEndian.AppendUint32(to, uint32(len(context)))
	}
	to = append(to, context...)
	return append(to, body...)
}
