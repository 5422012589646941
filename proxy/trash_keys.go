package proxy

import (
	"bytes"

	"holdfast/policy"
	"holdfast/proxy/resp"
)

// Single keys go to the trash by RENAME and MOVE, which take the same moment for any value and keep
// its deadline (trash/keys.lua). The script does what the command does and gives its reply.

// destroys reports whether a command destroys anything that can be kept; otherwise it is forwarded.
func (s *session) destroys(cmd *policy.Command, args [][]byte) bool {
	switch cmd.Name {
	case "flushall", "flushdb":
		return true
	case "rename", "restore", "restore-asking", "copy":
		return cmd.AcceptsArgs(len(args)) && cmd.Replaces(args)
	case "del", "unlink", "getdel":
		return cmd.AcceptsArgs(len(args))
	}
	return cmd.AcceptsArgs(len(args)) && cmd.DeletesByTime(args, s.w.unixMilli())
}

// evalKeys is eval for single keys.
func (j *trashJob) evalKeys(keep, prefix, form string) []string {
	script := scriptKeys
	switch j.cmd.Name {
	case "restore", "restore-asking", "copy", "set":
		script = scriptValues
	}
	args := j.plan.eval(script, j.what, j.meta, keep, prefix, form, j.cmd.Name)
	for _, a := range j.frame.Args[1:] {
		args = append(args, string(a))
	}
	return args
}

// reply is what the client gets, as it would from the server in its protocol version.
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
