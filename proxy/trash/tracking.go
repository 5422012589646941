package trash

import (
	"bytes"
	"slices"

	"holdfast/proxy/durable"
	"holdfast/proxy/resp"
)

// CLIENT TRACKING BCAST reports every write, in all databases. The keys of the trash and of the
// mark are removed.

// hiddenKeys are the prefixes of the keys of the trash and of the mark, in any database.
var hiddenKeys = [][]byte{[]byte("holdfast:trash"), []byte(durable.Watermark), []byte("holdfast:mark")}

func isHiddenKey(key []byte) bool {
	return slices.ContainsFunc(hiddenKeys, func(p []byte) bool { return bytes.HasPrefix(key, p) })
}

// HideInvalidated removes the proxy's own keys from an invalidation message, in the form of RESP3
// or of RESP2's channel. It returns nil if no key is left, and other messages unchanged.
func (t *Plan) HideInvalidated(reply []byte) []byte {
	if t.Hidden == nil || !bytes.Contains(reply, []byte("holdfast:")) {
		return reply
	}
	v, _, err := resp.Parse(reply)
	if err != nil || len(v.Elems) < 2 {
		return reply
	}
	if v.Type == '*' && (len(v.Elems) != 3 || string(v.Elems[0].Str) != "message" ||
		string(v.Elems[1].Str) != "__redis__:invalidate") {
		return reply
	}
	keys := v.Elems[len(v.Elems)-1].Elems
	var kept []resp.Value
	for _, k := range keys {
		if !isHiddenKey(k.Str) {
			kept = append(kept, k)
		}
	}
	switch len(kept) {
	case len(keys):
		return reply
	case 0:
		return nil
	}
	out := append([]byte{v.Type}, resp.AppendArray(nil, len(v.Elems))[1:]...)
	for i := range v.Elems[:len(v.Elems)-1] {
		out = resp.AppendBulk(out, v.Elems[i].Str)
	}
	out = resp.AppendArray(out, len(kept))
	for i := range kept {
		out = resp.AppendBulk(out, kept[i].Str)
	}
	return out
}
