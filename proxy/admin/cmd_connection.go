package admin

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"holdfast/proxy/resp"
)

// connectionCommands are the commands that client libraries send by themselves, and a few for
// people.
var connectionCommands = []*command{
	{name: "INFO", args: "[section ...]", help: "the state in the form of Redis's INFO",
		max: anyArgs, run: info},
	{name: "HELP", help: "this list", max: anyArgs, run: help},
	{name: "PING", args: "[message]", help: "PONG, or the message", max: 1, run: ping},
	{name: "QUIT", help: "close this connection", max: anyArgs, open: true, run: quit},
	{name: "AUTH", args: "[username] password", help: "authenticate", min: 1, max: 2, open: true,
		quiet: true, run: auth},
	{name: "HELLO", args: "[protocol [AUTH username password] [SETNAME name]]",
		help: "choose the protocol", max: 6, open: true, quiet: true, run: hello},
	{name: "SELECT", args: "index", help: "OK for 0", min: 1, max: 1, quiet: true, run: selectDB},
	{name: "ECHO", args: "message", help: "the message", min: 1, max: 1, quiet: true, run: echo},
	{name: "CLIENT SETNAME", args: "name", help: "name this connection", min: 1, max: 1,
		quiet: true, run: setName},
	{name: "CLIENT GETNAME", help: "the name of this connection", quiet: true, run: getName},
	{name: "CLIENT SETINFO", args: "attribute value", help: "ignored", min: 2, max: 2,
		quiet: true, run: ok},
	{name: "CLIENT ID", help: "the id of this connection", quiet: true, run: clientID},
	{name: "COMMAND", args: "[COUNT | DOCS]", help: "describe the commands to a client",
		max: anyArgs, quiet: true, run: commandTable},
	{name: "COMMAND COUNT", help: "how many commands there are", quiet: true, run: commandCount},
	{name: "COMMAND DOCS", args: "[name ...]", help: "describe the commands to redis-cli",
		max: anyArgs, quiet: true, run: commandDocs},
}

func ok(context.Context, *client, []string) (reply, error) { return simple("OK"), nil }

func ping(_ context.Context, _ *client, args []string) (reply, error) {
	if len(args) == 1 {
		return bulk(args[0]), nil
	}
	return simple("PONG"), nil
}

func echo(_ context.Context, _ *client, args []string) (reply, error) { return bulk(args[0]), nil }

func quit(_ context.Context, c *client, _ []string) (reply, error) {
	c.quit = true
	return simple("OK"), nil
}

func auth(ctx context.Context, c *client, args []string) (reply, error) {
	user := "default"
	if len(args) == 2 {
		user = args[0]
	} else if *c.server.password.Load() == "" {
		return nil, errNoPass
	}
	if err := c.authenticate(ctx, user, args[len(args)-1]); err != nil {
		return nil, err
	}
	return simple("OK"), nil
}

// hello follows Redis's: everything is checked, then changed.
func hello(ctx context.Context, c *client, args []string) (reply, error) {
	proto, name := c.proto, c.name
	var login []string
	if len(args) > 0 {
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return nil, errBadProto
		}
		if n != 2 && n != 3 {
			return nil, errNoProto
		}
		proto, args = n, args[1:]
	}
	for len(args) > 0 {
		switch {
		case strings.EqualFold(args[0], "AUTH") && len(args) >= 3:
			login, args = args[1:3], args[3:]
		case strings.EqualFold(args[0], "SETNAME") && len(args) >= 2:
			name, args = args[1], args[2:]
		default:
			return nil, replyError(fmt.Sprintf("ERR Syntax error in HELLO option '%s'",
				Clean(truncate(args[0], 64))))
		}
	}
	if login != nil {
		if err := c.authenticate(ctx, login[0], login[1]); err != nil {
			return nil, err
		}
	}
	if !c.authed {
		return nil, errHelloAuth
	}
	c.proto, c.name = proto, name
	return c.greeting(), nil
}

func (c *client) greeting() reply {
	return func(dst []byte, proto int) []byte {
		dst = resp.AppendMap(dst, 7, proto)
		pair := func(key, value string) {
			dst = resp.AppendBulkString(dst, key)
			dst = resp.AppendBulkString(dst, value)
		}
		pair("server", "holdfast")
		pair("version", c.server.opts.Version)
		dst = resp.AppendInt(resp.AppendBulkString(dst, "proto"), int64(proto))
		dst = resp.AppendInt(resp.AppendBulkString(dst, "id"), int64(c.id))
		pair("mode", "standalone")
		pair("role", "master")
		return resp.AppendArray(resp.AppendBulkString(dst, "modules"), 0)
	}
}

func selectDB(_ context.Context, _ *client, args []string) (reply, error) {
	if args[0] != "0" {
		return nil, errDB
	}
	return simple("OK"), nil
}

func setName(_ context.Context, c *client, args []string) (reply, error) {
	c.name = args[0]
	return simple("OK"), nil
}

func getName(_ context.Context, c *client, _ []string) (reply, error) {
	if c.name == "" {
		return func(dst []byte, proto int) []byte { return resp.AppendNull(dst, proto) }, nil
	}
	return bulk(c.name), nil
}

func clientID(_ context.Context, c *client, _ []string) (reply, error) {
	return integer(int64(c.id)), nil
}

// info is short: it serves tools that expect an INFO.
func info(ctx context.Context, c *client, _ []string) (reply, error) {
	s, err := c.server.backend.Stats(ctx)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("# Server")
	line("holdfast_version:%s", Clean(s.Version))
	line("process_id:%d", s.PID)
	line("uptime_in_seconds:%d", int64(s.Uptime.Seconds()))
	line("state:%s", stateText(s))
	line("\r\n# Clients")
	line("connected_clients:%d", s.Sessions)
	line("\r\n# Upstream")
	line("upstream_address:%s", s.Upstream.Address)
	line("upstream_up:%t", s.Upstream.Up)
	line("upstream_server:%s", Clean(s.Upstream.Server))
	line("upstream_version:%s", Clean(s.Upstream.Version))
	line("upstream_role:%s", Clean(s.Upstream.Role))
	line("\r\n# Stats")
	line("total_connections_received:%d", s.SessionsAccepted)
	line("total_commands_processed:%d", s.Commands)
	line("total_commands_denied:%d", s.CommandsDenied)
	line("total_net_input_bytes:%d", s.ClientBytesIn)
	line("total_net_output_bytes:%d", s.ClientBytesOut)
	return verbatim(b.String()), nil
}
