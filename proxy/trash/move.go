package trash

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"holdfast/policy"
	"holdfast/proxy/resp"
)

// Single keys go to the trash by RENAME and MOVE, which take constant time and keep the key's
// deadline (keys.lua). The script has the command's effect and gives its reply. Whether EXPIRE,
// GETEX, SET and MSETEX with a time in the past, and DELIFEQ, delete depends on options that only the
// server can evaluate: for these it keeps a COPY, which takes time in proportion to the value's size.

// Destroys reports whether a command destroys data that can be kept; any other is forwarded. now is
// the Unix time in ms.
func Destroys(cmd *policy.Command, args [][]byte, now int64) bool {
	switch cmd.Name {
	case "flushall", "flushdb":
		return true
	case "rename", "restore", "restore-asking", "copy":
		return cmd.AcceptsArgs(len(args)) && cmd.Replaces(args)
	case "del", "unlink", "getdel", "delifeq", "delex":
		return cmd.AcceptsArgs(len(args))
	}
	return cmd.AcceptsArgs(len(args)) && cmd.DeletesByTime(args, now)
}

// Move is a client's command that becomes a script: it moves the endangered data aside, and has the
// command's effect and reply.
type Move struct {
	Plan    *Plan
	Cmd     *policy.Command
	Args    [][]byte
	Name    string // of the command, as errors name it
	Rule    *policy.Rule
	Scope   string // Scope's
	Client  Client
	Session uint64 // names the script's keys
}

// Keyed reports whether the command is about single keys.
func (m *Move) Keyed() bool { return m.Cmd.Name != "flushall" && m.Cmd.Name != "flushdb" }

// Scope names the databases that a command is about, in the words of flush.lua. db is the client's;
// negative: only the server knows it, when the script runs.
func Scope(cmd *policy.Command, args [][]byte, db int) string {
	switch {
	case strings.HasPrefix(cmd.Name, "flush") && len(args) > 1 && !flushOption(args):
		return "syntax"
	case cmd.Name == "flushall":
		return "all"
	case db < 0:
		return "current"
	}
	return strconv.Itoa(db)
}

// flushOption reports whether every server accepts the arguments of a flush.
func flushOption(args [][]byte) bool {
	return len(args) == 2 && (resp.EqualFold(args[1], "sync") || resp.EqualFold(args[1], "async"))
}

// Apart is the command for the control user's link. Read reads its reply.
func (m *Move) Apart() []string { return m.eval("id") }

// InPlace is the command for the client's own link, in place of the client's: its reply is the one
// that the client expects.
func (m *Move) InPlace() []string { return m.eval("ok") }

// eval is the command; form is the form of its reply.
func (m *Move) eval(form string) []string {
	keep := strconv.FormatInt(m.Rule.Keep.Milliseconds(), 10)
	nonce := "holdfast:trash:" + strconv.FormatUint(m.Session, 16) + ":" +
		strconv.FormatInt(time.Now().UnixNano(), 16) + ":"
	if m.Keyed() {
		return m.evalKeys(keep, nonce, form)
	}
	return m.Plan.eval(scriptFlush, m.Scope, m.Client.meta(), keep, nonce,
		resp.OwnError(textFull(m.Name, m.Rule.Name)), form)
}

// evalKeys is eval for single keys.
func (m *Move) evalKeys(keep, prefix, form string) []string {
	script := scriptKeys
	switch m.Cmd.Name {
	case "restore", "restore-asking", "copy", "set", "msetex":
		script = scriptValues
	}
	keys, _ := m.Cmd.Keys(m.Args, nil)
	var places []string
	for _, k := range keys {
		places = append(places, strconv.Itoa(k.Pos+1)) // Lua counts from 1
	}
	args := m.Plan.eval(script, m.Scope, m.Client.meta(), keep, prefix, form,
		strings.Join(places, " "), m.Cmd.Name)
	for _, a := range m.Args[1:] {
		args = append(args, string(a))
	}
	return args
}

// Moved is the end of a Move.
type Moved struct {
	ID    int64      // of the entry; 0: there was nothing to keep
	Value resp.Value // of the command: a flush's keys, or the reply. It aliases the reply read
}

// Read reads the reply to Apart. refusal is the client's error, if nothing was moved.
func (m *Move) Read(reply []byte) (moved Moved, refusal string) {
	if len(reply) > 0 && reply[0] == '-' {
		return moved, m.refusal(reply)
	}
	v, _, err := resp.Parse(reply)
	if err != nil || len(v.Elems) != 2 {
		return moved, textFailed(m.Name, m.Rule.Name, "no id")
	}
	return Moved{ID: v.Elems[0].Int, Value: v.Elems[1]}, ""
}

// refusal turns a script's error into the client's. The server's own codes (READONLY, BUSY,
// MISCONF) have the same meaning as for any write. For a command about single keys, ERR is the
// server's answer to it, unless the text is about the script.
func (m *Move) refusal(reply []byte) string {
	text := strings.TrimRight(strings.TrimPrefix(string(reply), "-"), "\r\n")
	own := strings.HasPrefix(text, "ERR") && !strings.Contains(text, "script")
	if m.Keyed() && own || text == "ERR syntax error" || !strings.HasPrefix(text, "ERR") &&
		!strings.HasPrefix(text, "NOPERM") {
		return text
	}
	return textFailed(m.Name, m.Rule.Name, text)
}

// Reply is the client's reply, as the server would give it in that protocol version.
func (m *Move) Reply(moved *Moved, proto int) []byte {
	v := &moved.Value
	switch {
	case !m.Keyed():
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

// Missing is the client's error when there is no trash: because of err, or, if err is nil, because
// the plan lacks one.
func (m *Move) Missing(err error) string {
	if err == nil {
		err = m.Plan.Lacking()
	}
	return textMissing(m.Name, m.Rule.Name, err.Error())
}
