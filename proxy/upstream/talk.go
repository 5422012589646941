package upstream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"time"

	"holdfast/proxy/resp"
)

// A Talk is one connection to a server: all its commands reach the same process. It belongs to one
// goroutine.
type Talk struct {
	conn    net.Conn
	stop    func() bool
	timeout time.Duration
	have    []byte // received and not read yet

	// Role is the server's role by its reply to HELLO, for which no user needs a permission: "master"
	// for a primary; empty: the reply lacks it.
	Role string
}

// maxTalk bounds a reply.
const maxTalk = 1 << 20

// Open connects to the server at opts.Address and logs in. The connection ends with ctx.
func Open(ctx context.Context, opts Options) (*Talk, error) {
	opts = opts.withDefaults()
	u := &Upstream{opts: opts, dialer: newDialer(opts)}
	conn, err := u.Dial(ctx)
	if err != nil {
		return nil, err
	}
	t := &Talk{conn: conn, timeout: opts.ConnectTimeout}
	t.stop = context.AfterFunc(ctx, func() { conn.Close() })
	hello := []string{"hElLo", "2"}
	if opts.Password != "" {
		hello = append(hello, "AUTH", u.loginUser(), opts.Password)
	}
	v, err := t.Do(hello...)
	if err != nil {
		t.Close()
		return nil, err
	}
	for i := 0; i+1 < len(v.Elems); i += 2 {
		if string(v.Elems[i].Str) == "role" {
			t.Role = string(v.Elems[i+1].Str)
		}
	}
	return t, nil
}

// Close ends the connection.
func (t *Talk) Close() {
	t.stop()
	t.conn.Close()
}

// A Refusal is a server's error reply.
type Refusal struct{ Command, Text string }

func (r *Refusal) Error() string { return r.Command + ": " + r.Text }

// Do sends one command and returns its reply. An error reply is a *Refusal.
func (t *Talk) Do(args ...string) (v resp.Value, err error) {
	if err := t.conn.SetDeadline(time.Now().Add(t.timeout)); err != nil {
		return v, err
	}
	if _, err := t.conn.Write(resp.AppendCommandStrings(nil, args...)); err != nil {
		return v, err
	}
	if v, err = t.reply(); err == nil && v.Type == '-' {
		err = &Refusal{strings.ToUpper(args[0]), string(v.Str)}
	}
	return v, err
}

func (t *Talk) reply() (v resp.Value, err error) {
	chunk := make([]byte, 4096)
	for {
		v, n, err := resp.Parse(t.have)
		switch {
		case err == nil:
			t.have = append([]byte(nil), t.have[n:]...) // v keeps its part
			return v, nil
		case !errors.Is(err, resp.ErrIncomplete):
			return v, err
		case len(t.have) > maxTalk:
			return v, fmt.Errorf("a reply of more than %d bytes", maxTalk)
		}
		n, err = t.conn.Read(chunk)
		t.have = append(t.have, chunk[:n]...)
		if n == 0 && err != nil {
			return v, err
		}
	}
}

// Info returns the fields of sections of INFO.
func (t *Talk) Info(sections ...string) (map[string]string, error) {
	out := map[string]string{}
	for _, section := range sections {
		v, err := t.Do("INFO", section)
		if err != nil {
			return nil, err
		}
		maps.Copy(out, parseInfo(string(v.Str)))
	}
	return out, nil
}
