package proxy_test

import (
	"testing"

	"holdfast/proxy/proxytest"
)

func TestFirstCommands(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	c := dial(t, serve(t, srv.Addr))
	for _, step := range []struct{ send, want string }{
		{"PING\r\n", "+PONG\r\n"},
		{"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n", "+OK\r\n"},
		{"GET k\r\nGET nothing\r\n", "$1\r\nv\r\n$-1\r\n"},
		{"SELECT 3\r\nGET k\r\n", "+OK\r\n$-1\r\n"},
		{"SELECT 99\r\n", "-ERR DB index is out of range\r\n"},
		{"MULTI\r\nSET a 1\r\nINCR a\r\nEXEC\r\nGET a\r\n",
			"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:2\r\n$1\r\n2\r\n"},
		{"BLPOP nolist 0.01\r\nPING\r\n", "*-1\r\n+PONG\r\n"},
		{"EVAL \"return 7\" 0\r\n", ":7\r\n"},
		{"CLIENT SETNAME me\r\nCLIENT GETNAME\r\n", "+OK\r\n$2\r\nme\r\n"},
		{"RESET\r\nCLIENT GETNAME\r\n", "+RESET\r\n$-1\r\n"},
		{"SUBSCRIBE ch\r\nPING\r\n", "*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n"},
		{"UNSUBSCRIBE\r\n", "*3\r\n$11\r\nunsubscribe\r\n$2\r\nch\r\n:0\r\n"},
	} {
		c.send(step.send)
		c.expect(step.want)
	}
	c.send("QUIT\r\n")
	c.expect("+OK\r\n")
	c.expectEOF()
}
