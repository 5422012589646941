package proxytest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"syscall"

	"holdfast/proxy/proxytest/local"
)

// Command is the bytes of a command as clients send it.
func Command(args ...string) string { return string(local.AppendCommand(nil, args...)) }

// Bulk is the bytes of a bulk string.
func Bulk(text string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) }

// readCommand reads one command, inline or as an array, and also returns its bytes. It trusts its
// input: the peer of a scripted upstream is the code under test.
func readCommand(r *bufio.Reader) (args []string, raw []byte, err error) {
	var seen bytes.Buffer
	line := func() (string, error) {
		text, err := r.ReadString('\n')
		seen.WriteString(text)
		return strings.TrimRight(text, "\r\n"), err
	}
	head, err := line()
	if err != nil {
		return nil, nil, partial(err, &seen)
	}
	if !strings.HasPrefix(head, "*") {
		return strings.Fields(head), seen.Bytes(), nil
	}
	count, err := strconv.Atoi(head[1:])
	if err != nil {
		return nil, nil, fmt.Errorf("not a command: %q", head)
	}
	for range count {
		head, err := line()
		if err != nil {
			return nil, nil, partial(err, &seen)
		}
		size, err := strconv.Atoi(strings.TrimPrefix(head, "$"))
		if err != nil || size < 0 {
			return nil, nil, fmt.Errorf("not an argument: %q after %q", head, args)
		}
		arg := make([]byte, size+len("\r\n"))
		n, err := io.ReadFull(r, arg)
		seen.Write(arg[:n])
		if err != nil {
			return nil, nil, partial(err, &seen)
		}
		args = append(args, string(arg[:size]))
	}
	return args, seen.Bytes(), nil
}

// partial distinguishes an end between two commands, io.EOF, from an end within one.
func partial(err error, seen *bytes.Buffer) error {
	if seen.Len() > 0 && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		return fmt.Errorf("the connection ended within a command, after %q: %w",
			seen.Bytes(), io.ErrUnexpectedEOF)
	}
	return err
}

// isReset reports whether the other side ended the connection without an orderly end.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// politeReplies are the replies of a scripted upstream outside of scripts, by command name. COMMAND
// is not permitted, so that the proxy uses its compiled-in table.
func politeReplies() map[string]string {
	info := "redis_version:7.4.0\r\nrun_id:" + strings.Repeat("5", 40) + "\r\n" +
		"redis_mode:standalone\r\nrole:master\r\nloading:0\r\ncluster_enabled:0\r\n"
	config := "*4\r\n" + Bulk("databases") + Bulk("16") +
		Bulk("proto-max-bulk-len") + Bulk("536870912")
	return map[string]string{
		"auth":    "+OK\r\n",
		"select":  "+OK\r\n",
		"ping":    "+PONG\r\n",
		"reset":   "+RESET\r\n",
		"info":    Bulk(info),
		"config":  config,
		"command": "-NOPERM this user has no permissions to run the 'command' command\r\n",
	}
}

// usual returns the reply to a command outside of scripts, and whether there is one.
func (c *ScriptConn) usual(args []string) (reply string, ok bool) {
	if len(args) == 0 {
		return "", true // an empty line or array is no command
	}
	name := strings.ToLower(args[0])
	c.upstream.mu.Lock()
	reply, ok = c.upstream.replies[name]
	c.upstream.mu.Unlock()
	if ok {
		return reply, true
	}
	switch name {
	case "hello":
		return c.hello(args), true
	case "client":
		return c.client(args)
	}
	return "", false
}

// hello answers HELLO in the version that it asks for.
func (c *ScriptConn) hello(args []string) string {
	version, open := "2", "*14\r\n"
	if len(args) > 1 && args[1] == "3" {
		version, open = "3", "%7\r\n"
	}
	return open + Bulk("server") + Bulk("redis") + Bulk("version") + Bulk("7.4.0") +
		Bulk("proto") + ":" + version + "\r\n" + Bulk("id") + ":" + strconv.Itoa(c.id) + "\r\n" +
		Bulk("mode") + Bulk("standalone") + Bulk("role") + Bulk("master") + Bulk("modules") + "*0\r\n"
}

// client answers the subcommands of CLIENT that belong to a handshake.
func (c *ScriptConn) client(args []string) (reply string, ok bool) {
	if len(args) < 2 {
		return "", false
	}
	switch strings.ToLower(args[1]) {
	case "setname", "setinfo", "no-evict", "no-touch":
		return "+OK\r\n", true
	case "id":
		return ":" + strconv.Itoa(c.id) + "\r\n", true
	}
	return "", false
}
