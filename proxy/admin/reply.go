package admin

import (
	"encoding/json"
	"fmt"
	"strings"

	"holdfast/proxy/resp"
)

// reply appends itself to dst in the given protocol.
type reply func(dst []byte, proto int) []byte

// nothing is the empty reply.
func nothing(dst []byte, _ int) []byte { return dst }

func simple(s string) reply {
	return func(dst []byte, _ int) []byte { return resp.AppendSimple(dst, s) }
}

func integer(n int64) reply {
	return func(dst []byte, _ int) []byte { return resp.AppendInt(dst, n) }
}

func bulk(s string) reply {
	return func(dst []byte, _ int) []byte { return resp.AppendBulkString(dst, s) }
}

// verbatim is text that redis-cli prints unchanged: in RESP3 any text, in RESP2 that of INFO only.
func verbatim(s string) reply {
	return func(dst []byte, proto int) []byte {
		return resp.AppendVerbatim(dst, proto, "txt", s)
	}
}

// lines is text for people. In RESP3 it is a verbatim string, which redis-cli prints unchanged. In
// RESP2 it is an array of simple strings, like Redis's own HELP replies: a terminal would show a
// bulk string as one long line in quotes with \n in it.
func lines(text []string) reply {
	return func(dst []byte, proto int) []byte {
		if proto == 3 {
			return resp.AppendVerbatim(dst, proto, "txt", strings.Join(text, "\n"))
		}
		dst = resp.AppendArray(dst, len(text))
		for _, l := range text {
			dst = resp.AppendSimple(dst, l)
		}
		return dst
	}
}

// jsonReply is v as JSON, on one line.
func jsonReply(v any) (reply, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("json: %w", err)
	}
	return verbatim(string(text)), nil
}
