package tap

import (
	"errors"
	"strings"
	"testing"
	"time"

	"holdfast/journal/internal/wire"
)

func TestReadAnswer(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("a1", 20)
	for _, row := range []struct {
		in   string
		want answer
		err  error
	}{
		{"+CONTINUE\r\n", answer{}, nil},
		{"\n\n\n+CONTINUE " + id + "\r\n", answer{replID: id}, nil},
		{"+FULLRESYNC " + id + " 0\r\n", answer{full: true, replID: id}, nil},
		{"\n+FULLRESYNC " + id + " 9876543210\r\n",
			answer{full: true, replID: id, offset: 9876543210}, nil},
		{"+FULLRESYNC " + id + " -1\r\n", answer{}, ErrHandshake},
		{"+FULLRESYNC " + id + "\r\n", answer{}, ErrHandshake},
		{"+FULLRESYNC x 1\r\n", answer{}, ErrHandshake},
		{"+CONTINUE x\r\n", answer{}, ErrHandshake},
		{"+OK\r\n", answer{}, ErrHandshake},
		{" \r\n+\r\n", answer{}, ErrHandshake},
		{"-NOMASTERLINK Can't SYNC while not connected with my master\r\n", answer{}, ErrRefused},
	} {
		got, err := readAnswer(wire.NewConn(&pieces{left: []string{row.in}}), time.Minute)
		if got != row.want || !errors.Is(err, row.err) {
			t.Errorf("%q: got %+v, %v; want %+v, %v", row.in, got, err, row.want, row.err)
		}
	}
}
