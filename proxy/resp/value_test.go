package resp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// text writes a value in a short form.
func (v Value) text() string {
	switch {
	case v.Null:
		return "null"
	case v.Type == ':' || v.Type == '#':
		return fmt.Sprintf("%c%d", v.Type, v.Int)
	case v.Elems != nil:
		var list []string
		for _, e := range v.Elems {
			list = append(list, e.text())
		}
		return fmt.Sprintf("%c[%s]", v.Type, strings.Join(list, " "))
	}
	return fmt.Sprintf("%c%q", v.Type, v.Str)
}

func TestParse(t *testing.T) {
	for _, tt := range []struct{ reply, want string }{
		{"+OK\r\n", `+"OK"`},
		{"-ERR x\r\n", `-"ERR x"`},
		{":-5\r\n", `:-5`},
		{"$3\r\na\r\n\r\n", `$"a\r\n"`},
		{"$-1\r\n", `null`},
		{"*-1\r\n", `null`},
		{"_\r\n", `null`},
		{"#t\r\n", `#1`},
		{"#f\r\n", `#0`},
		{",1.5\r\n", `,"1.5"`},
		{"(123\r\n", `("123"`},
		{"!5\r\nERR x\r\n", `!"ERR x"`},
		{"=7\r\ntxt:abc\r\n", `="abc"`},
		{"*0\r\n", `*[]`},
		{"*2\r\n:1\r\n*1\r\n+a\r\n", `*[:1 *[+"a"]]`},
		{"%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n", `%[+"a" :1 +"b" :2]`},
		{"~1\r\n+a\r\n", `~[+"a"]`},
		{">2\r\n+a\r\n$-1\r\n", `>[+"a" null]`},
		{"|1\r\n+ttl\r\n:1\r\n*1\r\n|1\r\n+x\r\n:9\r\n:2\r\n", `*[:2]`},
	} {
		v, n, err := Parse([]byte(tt.reply + "+rest"))
		if err != nil || n != len(tt.reply) || v.text() != tt.want {
			t.Errorf("%q: got %s, %d bytes, error %v, want %s", tt.reply, v.text(), n, err, tt.want)
		}
		for i := range tt.reply {
			if _, _, err := Parse([]byte(tt.reply[:i])); !errors.Is(err, ErrIncomplete) {
				t.Errorf("%q: error %v, want ErrIncomplete", tt.reply[:i], err)
			}
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct {
		reply string
		want  error
	}{
		{"\r\n", ErrMalformed},
		{"x\r\n", ErrMalformed},
		{":\r\n", ErrMalformed},
		{":1a\r\n", ErrMalformed},
		{"#x\r\n", ErrMalformed},
		{"_x\r\n", ErrMalformed},
		{"$x\r\n", ErrMalformed},
		{"$-2\r\n", ErrMalformed},
		{"!-1\r\n", ErrMalformed},
		{"$1\r\nabc", ErrMalformed},
		{"=3\r\nabc\r\n", ErrMalformed},
		{"*-2\r\n", ErrMalformed},
		{"%-1\r\n", ErrMalformed},
		{"*?\r\n", ErrMalformed},
		{"*2\r\n:1\r\nx\r\n", ErrMalformed},
		{"*1000000\r\n:1\r\n", ErrIncomplete},
		{"*1048577\r\n:1\r\n", ErrTooComplex},
		{"*9223372036854775807\r\n:1\r\n", ErrTooComplex},
		{"$9223372036854775807\r\n:1\r\n", ErrIncomplete},
		{strings.Repeat("*1\r\n", 33) + ":1\r\n", ErrTooComplex},
	} {
		if v, _, err := Parse([]byte(tt.reply)); !errors.Is(err, tt.want) {
			t.Errorf("%q: got %s and error %v, want %v", tt.reply, v.text(), err, tt.want)
		}
	}
	if _, _, err := Parse([]byte(strings.Repeat("*1\r\n", 32) + ":1\r\n")); err != nil {
		t.Errorf("32 deep: %v", err)
	}
}
