package takeover

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// protocol is the version of the conversation. Another one is refused: raise it with any change that the other
// side would misunderstand.
const protocol = 1

// packet is one message; exactly one of its parts is set, Kept aside.
type packet struct {
	Ask      bool     `json:"ask,omitempty"` // for Upstream, in a conversation of its own
	Upstream []byte   `json:"upstream,omitempty"`
	Hello    *hello   `json:"hello,omitempty"`
	Sockets  []string `json:"sockets,omitempty"` // their addresses; the descriptors come with them, in that order
	Kept     []string `json:"kept,omitempty"`    // with Sockets: those of the service manager
	Go       bool     `json:"go,omitempty"`
	Draining int64    `json:"draining,omitempty"` // the longest time until Released, in milliseconds
	Released bool     `json:"released,omitempty"`
	Serving  bool     `json:"serving,omitempty"`
	Yours    bool     `json:"yours,omitempty"`
	Refused  string   `json:"refused,omitempty"`
}

// hello begins the conversation. Its form is the same in all versions.
type hello struct {
	Protocol int    `json:"protocol"`
	Version  string `json:"version"` // of the program, for the log
}

const (
	// maxPacket bounds a packet in bytes, maxSockets the descriptors in one (SCM_MAX_FD of Linux is 253).
	maxPacket  = 64 << 10
	maxSockets = 253
)

// channel is one side of the conversation.
type channel struct{ conn *net.UnixConn }

// send sends a packet, with descriptors.
func (c channel) send(p packet, files ...int) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if len(data) > maxPacket || len(files) > maxSockets {
		return fmt.Errorf("takeover: %d sockets are too many for one packet", len(files))
	}
	if _, _, err := c.conn.WriteMsgUnix(data, rights(files), nil); err != nil {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return nil
}

// receive waits for a packet until a time; zero: for ever. An error of the other side's is a *Refusal.
func (c channel) receive(until time.Time) (p packet, files []int, err error) {
	if err := c.conn.SetReadDeadline(until); err != nil {
		return p, nil, fmt.Errorf("%w: %w", ErrGone, err)
	}
	data, oob := make([]byte, maxPacket), make([]byte, roomForRights)
	n, k, _, _, err := c.conn.ReadMsgUnix(data, oob)
	if errors.Is(err, syscall.ECONNRESET) {
		// The other side closed before it had read everything. What it said before comes after this error.
		n, k, _, _, err = c.conn.ReadMsgUnix(data, oob)
	}
	switch {
	case os.IsTimeout(err):
		return p, nil, fmt.Errorf("takeover: no answer from the other process: %w", err)
	case err != nil:
		return p, nil, fmt.Errorf("%w: %w", ErrGone, err)
	}
	files, err = parseRights(oob[:k])
	if err == nil {
		err = json.Unmarshal(data[:n], &p)
	}
	if err == nil && p.Refused != "" {
		err = &Refusal{p.Refused}
	}
	if err != nil {
		closeFiles(files)
		return p, nil, err
	}
	return p, files, nil
}

// refuse ends the conversation with a reason. The other side may be gone already.
func (c channel) refuse(text string) { _ = c.send(packet{Refused: text}) }

func unexpected(p packet) error {
	text, _ := json.Marshal(p)
	return fmt.Errorf("takeover: an unexpected packet: %s", text)
}
