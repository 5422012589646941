package resp

import (
	"math"
	"testing"
)

func TestWriters(t *testing.T) {
	for _, tt := range []struct {
		name string
		got  []byte
		want string
	}{
		{"command", AppendCommand(nil, []byte("GET"), []byte("")), "*2\r\n$3\r\nGET\r\n$0\r\n\r\n"},
		{"command strings", AppendCommandStrings([]byte("x"), "PING"), "x*1\r\n$4\r\nPING\r\n"},
		{"simple", AppendSimple(nil, "OK"), "+OK\r\n"},
		{"error", AppendError(nil, "ERR a\r\nb"), "-ERR a  b\r\n"},
		{"int", AppendInt(nil, 0), ":0\r\n"},
		{"int of two digits", AppendInt(nil, 10), ":10\r\n"},
		{"least int", AppendInt(nil, math.MinInt64), ":-9223372036854775808\r\n"},
		{"bulk", AppendBulk(nil, []byte("a\r\nb")), "$4\r\na\r\nb\r\n"},
		{"nil bulk", AppendBulk(nil, nil), "$0\r\n\r\n"},
		{"bulk string", AppendBulkString(nil, "abc"), "$3\r\nabc\r\n"},
		{"null 2", AppendNull(nil, 2), "$-1\r\n"},
		{"null 3", AppendNull(nil, 3), "_\r\n"},
		{"array", AppendArray(nil, 12), "*12\r\n"},
		{"map 2", AppendMap(nil, 7, 2), "*14\r\n"},
		{"map 3", AppendMap(nil, 7, 3), "%7\r\n"},
		{"set 2", AppendSet(nil, 7, 2), "*7\r\n"},
		{"set 3", AppendSet(nil, 7, 3), "~7\r\n"},
		{"verbatim 2", AppendVerbatim(nil, 2, "txt", "a\n"), "$2\r\na\n\r\n"},
		{"verbatim 3", AppendVerbatim(nil, 3, "txt", "a\n"), "=6\r\ntxt:a\n\r\n"},
	} {
		if string(tt.got) != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, tt.got, tt.want)
		}
	}
}

func TestWritersAllocateNothing(t *testing.T) {
	buf := make([]byte, 0, 4096)
	arg := []byte("value")
	if got := testing.AllocsPerRun(100, func() {
		buf = AppendCommand(buf[:0], arg, arg, arg)
		buf = AppendCommandStrings(buf, "GET", "key")
		buf = AppendError(buf, "ERR no")
		buf = AppendInt(buf, 123456789)
		buf = AppendVerbatim(buf, 3, "txt", "text")
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}
