package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
)

// text is a connection that reads from a string; writes go nowhere.
type text struct {
	net.Conn // nil: nothing else is used
	r        io.Reader
}

func (t text) Read(b []byte) (int, error) { return t.r.Read(b) }

func fromText(s string) *Conn { return NewConn(text{r: strings.NewReader(s)}) }

func TestReply(t *testing.T) {
	for _, row := range []struct {
		in   string
		want any
		err  error
	}{
		{"+OK\r\n", "OK", nil},
		{"+\r\n", "", nil},
		{"-ERR no\r\n", nil, Error("ERR no")},
		{":-12\r\n", int64(-12), nil},
		{"$-1\r\n", nil, nil},
		{"$0\r\n\r\n", "", nil},
		{"$4\r\na\r\nb\r\n", "a\r\nb", nil},
		{"*-1\r\n", nil, nil},
		{"*0\r\n", []any{}, nil},
		{"*3\r\n:1\r\n$1\r\na\r\n-ERR x\r\n", []any{int64(1), "a", Error("ERR x")}, nil},
		{"*1\r\n*1\r\n+a\r\n", []any{[]any{"a"}}, nil},
		{"", nil, io.ErrUnexpectedEOF},
		{"+OK", nil, io.ErrUnexpectedEOF},
		{"$3\r\nab", nil, io.ErrUnexpectedEOF},
		{"$3\r\nabcde", nil, ErrProtocol},
		{"$-2\r\n", nil, ErrProtocol},
		{"$999999999999\r\n", nil, ErrProtocol},
		{"*999999999\r\n", nil, ErrProtocol},
		{"*x\r\n", nil, ErrProtocol},
		{":x\r\n", nil, ErrProtocol},
		{"\r\n", nil, ErrProtocol},
		{"what\r\n", nil, ErrProtocol},
		{"+" + strings.Repeat("x", 10_000) + "\r\n", nil, ErrProtocol},
		{strings.Repeat("*1\r\n", 100) + ":1\r\n", nil, ErrProtocol},
	} {
		got, err := fromText(row.in).Reply()
		if !reflect.DeepEqual(got, row.want) && row.err == nil || !errors.Is(err, row.err) {
			t.Errorf("%.40q: got %#v, %v; want %#v, %v", row.in, got, err, row.want, row.err)
		}
	}
}

func TestCommand(t *testing.T) {
	for _, row := range []struct {
		in   string
		want []string
		err  error
	}{
		{string(Append(nil, "REPLCONF", "ACK", "12")), []string{"REPLCONF", "ACK", "12"}, nil},
		{string(Append(nil, "")), []string{""}, nil},
		{"PING\r\n", []string{"PING"}, nil},
		{"  REPLCONF   ACK 1 \n", []string{"REPLCONF", "ACK", "1"}, nil},
		{"\n", []string{}, nil},
		{"*0\r\n", []string{}, nil},
		{"*1\r\n:1\r\n", nil, ErrProtocol},
		{"*1\r\n*1\r\n$1\r\na\r\n", nil, ErrProtocol},
		{"*2\r\n$1\r\na\r\n", nil, io.ErrUnexpectedEOF},
	} {
		got, err := fromText(row.in).Command()
		if row.err == nil && fmt.Sprint(got) != fmt.Sprint(row.want) || !errors.Is(err, row.err) {
			t.Errorf("%q: got %q, %v; want %q, %v", row.in, got, err, row.want, row.err)
		}
	}
}

func TestDial(t *testing.T) {
	srv := proxytest.Spec{Unix: true}.Start(t)
	srv.MustDo("ACL", "SETUSER", "me", "on", ">secret", "+info")
	srv.MustDo("CONFIG", "SET", "requirepass", "other")
	ctx := context.Background()
	for _, row := range []struct {
		user, password, code string
	}{{"me", "secret", ""}, {"", "other", ""}, {"me", "other", "WRONGPASS"}, {"", "", "NOAUTH"}} {
		c, err := Dial(ctx, Endpoint{Address: srv.Addr, Username: row.user, Password: row.password})
		if err == nil {
			_, err = c.Do(ctx, "INFO", "server")
			c.Close()
		}
		var reply Error
		errors.As(err, &reply)
		if reply.Code() != row.code || row.code == "" && err != nil {
			t.Errorf("%+v: %v", row, err)
		}
	}
}

// TestContextEnds breaks a wait for an answer that does not come, and leaves no deadline behind
// where it did not have to.
func TestContextEnds(t *testing.T) {
	srv := proxytest.StartServer(t)
	ctx, cancel := context.WithCancel(context.Background())
	c, err := Dial(ctx, Endpoint{Address: srv.Addr})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	short, end := context.WithTimeout(ctx, time.Hour)
	if v, err := c.Do(short, "PING"); err != nil || v != "PONG" {
		t.Fatalf("PING: %v, %v", v, err)
	}
	end()
	if v, err := c.Do(ctx, "PING"); err != nil || v != "PONG" {
		t.Fatalf("PING after the first context's end: %v, %v", v, err)
	}
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := c.Do(ctx, "BLPOP", "k", "0"); err == nil {
		t.Error("BLPOP came back without an error")
	}
	if _, err := c.Do(ctx, "PING"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func FuzzReply(f *testing.F) {
	for _, s := range []string{"+OK\r\n", "-ERR\r\n", ":1\r\n", "$1\r\na\r\n", "*2\r\n:1\r\n$-1\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := fromText(s).Reply(); err != nil && v != nil {
			t.Errorf("both %v and %v", v, err)
		}
	})
}

func FuzzCommand(f *testing.F) {
	f.Add("PING\r\n")
	f.Add("*1\r\n$4\r\nPING\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		args, err := fromText(s).Command()
		if err != nil {
			return
		}
		again, err := fromText(string(Append(nil, args...))).Command()
		if err != nil || strings.Join(again, "\n") != strings.Join(args, "\n") {
			t.Errorf("%q became %q (%v)", args, again, err)
		}
	})
}
