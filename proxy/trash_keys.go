package proxy

import (
	"bytes"
	"strconv"
	"strings"

	"holdfast/proxy/resp"
)

// Single keys go to the trash by RENAME and MOVE, which take constant time and keep the key's
// deadline (trash/keys.lua). The script has the command's effect and gives its reply. Whether
// EXPIRE, GETEX, SET and MSETEX with a time in the past, and DELIFEQ, delete depends on options
// that only the server can evaluate: for these it keeps a COPY, which takes time in proportion to
// the value's size.

// destroys reports whether a command destroys data that can be kept; otherwise it is forwarded.
func (f *frame) destroys() bool {
	cmd, args := f.cmd, f.Args
	switch cmd.Name {
	case "flushall", "flushdb":
		return true
	case "rename", "restore", "restore-asking", "copy":
		return cmd.AcceptsArgs(len(args)) && cmd.Replaces(args)
	case "del", "unlink", "getdel", "delifeq", "delex":
		return cmd.AcceptsArgs(len(args))
	}
	return cmd.AcceptsArgs(len(args)) && cmd.DeletesByTime(args, f.s.w.unixMilli())
}

// evalKeys is eval for single keys.
func (j *trashJob) evalKeys(keep, prefix, form string) []string {
	script := scriptKeys
	switch j.cmd.Name {
	case "restore", "restore-asking", "copy", "set", "msetex":
		script = scriptValues
	}
	keys, _ := j.cmd.Keys(j.Args, nil)
	var places []string
	for _, k := range keys {
		places = append(places, strconv.Itoa(k.Pos+1)) // Lua counts from 1
	}
	args := j.plan.eval(script, j.what, j.meta, keep, prefix, form, strings.Join(places, " "),
		j.cmd.Name)
	for _, a := range j.Args[1:] {
		args = append(args, string(a))
	}
	return args
}

// reply is the client's reply, as the server would give it in that protocol version.
func (j *trashJob) reply(v *resp.Value, proto int) []byte {
	switch {
	case !j.keyed:
		return resp.AppendSimple(nil, "OK")
	case v.Null:
		return resp.AppendNull(nil, proto)
	case v.Type == ':':
		return resp.AppendInt(nil, v.Int)
	case v.Type == '+':
		return resp.AppendSimple(nil, string(v.Str))
	}
	return resp.AppendBulk(nil, bytes.Clone(v.Str))
}
