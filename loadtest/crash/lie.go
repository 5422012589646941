package main

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"holdfast/proxy/proxytest/local"
)

// A lie is a relay's falsification of commands and replies about durability. The harness lies to
// prove itself: a gate that believes the lie acknowledges writes that are lost, and the harness
// must find them.
type lie struct {
	wait   bool // WAIT and WAITAOF get the requested counts at once
	aof    bool // appendonly is reported as on
	offset bool // the replication offset stays at its first value

	mu    sync.Mutex
	first string
}

// A rewriter applies a lie to one direction of a connection.
type rewriter struct{ held []byte }

// rewrite returns the bytes to send in place of data.
func (w *rewriter) rewrite(l *lie, data []byte, requests bool) []byte {
	if !requests {
		return l.answer(data)
	}
	if !l.wait {
		return data
	}
	w.held = append(w.held, data...)
	var out []byte
	for {
		args, size := command(w.held)
		if size == 0 {
			return out
		}
		out = append(out, l.question(w.held[:size], args)...)
		w.held = w.held[size:]
	}
}

// question is sent in place of a command.
func (l *lie) question(raw []byte, args []string) []byte {
	switch {
	case len(args) == 3 && strings.EqualFold(args[0], "WAIT"):
		return local.AppendCommand(nil, "EVAL_RO", "return "+args[1], "0")
	case len(args) == 4 && strings.EqualFold(args[0], "WAITAOF"):
		return local.AppendCommand(nil, "EVAL_RO", "return {"+args[1]+","+args[2]+"}", "0")
	}
	return raw
}

var offsetField = regexp.MustCompile(`\r\nmaster_repl_offset:(\d+)`)

// answer changes a reply. A reply in two pieces may stay true, which does no harm: the next one
// will not.
func (l *lie) answer(data []byte) []byte {
	if l.aof {
		data = bytes.ReplaceAll(data, []byte("$10\r\nappendonly\r\n$2\r\nno\r\n"),
			[]byte("$10\r\nappendonly\r\n$3\r\nyes\r\n"))
		data = bytes.ReplaceAll(data, []byte("aof_enabled:0"), []byte("aof_enabled:1"))
	}
	if l.offset {
		data = offsetField.ReplaceAllFunc(data, l.oldOffset)
	}
	return data
}

// oldOffset replaces an offset by the first, with as many digits.
func (l *lie) oldOffset(field []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := bytes.IndexByte(field, ':') + 1
	digits := string(field[at:])
	if l.first == "" {
		l.first = digits
	}
	old := strings.Repeat("0", max(0, len(digits)-len(l.first))) + l.first
	if len(old) != len(digits) {
		return field
	}
	return append(field[:at:at], old...)
}

// command reads one command from the beginning of data. Size 0: it is incomplete.
func command(data []byte) (args []string, size int) {
	line := func(mark byte) (int, bool) {
		end := bytes.Index(data[size:], []byte("\r\n"))
		if end < 1 || data[size] != mark {
			return 0, false
		}
		n, err := strconv.Atoi(string(data[size+1 : size+end]))
		size += end + 2
		return n, err == nil
	}
	count, ok := line('*')
	if !ok {
		return inline(data)
	}
	for range count {
		n, ok := line('$')
		if !ok || n < 0 || len(data) < size+n+2 {
			return nil, 0
		}
		args = append(args, string(data[size:size+n]))
		size += n + 2
	}
	return args, size
}

// inline is a line that is no array: it passes unchanged.
func inline(data []byte) (args []string, size int) {
	end := bytes.IndexByte(data, '\n')
	if end < 0 || data[0] == '*' {
		return nil, 0
	}
	return nil, end + 1
}

// again copies the lie for another round.
func (l *lie) again() *lie { return &lie{wait: l.wait, aof: l.aof, offset: l.offset} }
