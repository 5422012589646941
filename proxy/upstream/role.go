package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"holdfast/proxy/resp"
)

// maxHello bounds a reply to HELLO.
const maxHello = 64 << 10

// AskRole asks the server at opts.Address for its role, on a connection of its own: "master" for a
// primary. It is in the reply to HELLO, for which no user needs a permission. An empty role with a
// nil error means that the reply lacks it.
func AskRole(ctx context.Context, opts Options) (role string, err error) {
	opts = opts.withDefaults()
	u := &Upstream{opts: opts, dialer: newDialer(opts)}
	conn, err := u.Dial(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := conn.SetDeadline(time.Now().Add(opts.ConnectTimeout)); err != nil {
		return "", err
	}
	hello := []string{"hElLo", "2"}
	if opts.Password != "" {
		hello = append(hello, "AUTH", u.loginUser(), opts.Password)
	}
	if _, err := conn.Write(resp.AppendCommandStrings(nil, hello...)); err != nil {
		return "", err
	}
	return readRole(conn)
}

// readRole reads the reply to HELLO.
func readRole(conn net.Conn) (string, error) {
	var reply []byte
	chunk := make([]byte, 4096)
	for len(reply) < maxHello {
		n, err := conn.Read(chunk)
		reply = append(reply, chunk[:n]...)
		v, _, incomplete := resp.Parse(reply)
		switch {
		case incomplete == nil && v.Type == '-':
			return "", fmt.Errorf("HELLO: %s", v.Str)
		case incomplete == nil:
			for i := 0; i+1 < len(v.Elems); i += 2 {
				if string(v.Elems[i].Str) == "role" {
					return string(v.Elems[i+1].Str), nil
				}
			}
			return "", nil
		case !errors.Is(incomplete, resp.ErrIncomplete):
			return "", incomplete
		case err != nil:
			return "", err
		}
	}
	return "", fmt.Errorf("a reply to HELLO of more than %d bytes", maxHello)
}
