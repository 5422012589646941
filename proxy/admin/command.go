package admin

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
)

// command is one command of the console. A new one is one entry in commands, and its handler in
// the cmd_ file of its group.
type command struct {
	name string // upper case, one or two words: "SHOW SESSIONS"
	args string // for HELP and for redis-cli's hints
	help string // one line, lower case, without a full stop
	max  int    // maximum number of arguments after the name; the handler checks the rest
	min  int
	// open: also for a client that has not authenticated.
	open bool
	// quiet: not in HELP, since client libraries send it, not people.
	quiet bool
	// slow: it may take as long as the work on a whole data set.
	slow bool
	// acts: it changes something, and the audit log records the operator and the result.
	acts bool
	run  handler
}

type handler func(ctx context.Context, c *client, args []string) (reply, error)

// commands is the table of all commands, in the order of HELP.
var commands []*command

// any number of arguments.
const anyArgs = maxArgs

func init() {
	// Not in the declaration, because HELP and COMMAND list the table that they are part of.
	commands = slices.Concat(showCommands, routeCommands, confirmCommands, budgetCommands,
		trashCommands, controlCommands, repairCommands, connectionCommands)
}

func (c *command) usage() string { return strings.TrimSpace(c.name + " " + c.args) }

// lookup finds the command of args and the number of words in its name. A known first word alone,
// such as SHOW, is not a command unless the table says so.
func lookup(args []string) (*command, int) {
	var one *command
	for _, c := range commands {
		first, second, two := strings.Cut(c.name, " ")
		if !strings.EqualFold(args[0], first) {
			continue
		}
		if !two {
			one = c
		} else if len(args) > 1 && strings.EqualFold(args[1], second) {
			return c, 2
		}
	}
	return one, 1
}

// browser reports whether a request is a line of HTTP. A web page can make a browser on this
// machine post to the console, and lines of the body would be commands; Redis has the same guard.
func browser(args []string) bool {
	return strings.EqualFold(args[0], "POST") || strings.EqualFold(args[0], "HOST:")
}

// run finds and runs a command.
func (c *client) run(ctx context.Context, args []string) (reply, error) {
	if !c.authed {
		if err := c.server.strangers.turn(ctx); err != nil {
			return nil, err
		}
	}
	if browser(args) {
		c.server.again.Tell(c.server.log, slog.LevelWarn, "console: HTTP request, possibly an attack; closed",
			nil, "addr", c.addr)
		c.quit = true
		return nothing, nil
	}
	cmd, words := lookup(args)
	if !c.authed && (cmd == nil || !cmd.open) {
		return nil, errNoAuth // before any hint of the existing commands
	}
	if cmd == nil {
		return nil, errUnknown(args[:min(2, len(args))])
	}
	rest := args[words:]
	if len(rest) < cmd.min || len(rest) > cmd.max {
		if cmd.max == 0 && words == 1 && hasSubcommands(cmd.name) {
			return nil, errUnknown(args[:2])
		}
		return nil, errArgs(cmd)
	}
	limit := backendTimeout
	if cmd.slow {
		limit = slowTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c.result = "OK"
	r, err := cmd.run(ctx, c, rest)
	if errors.Is(err, errSyntax) && !cmd.open {
		err = errSyntaxOf(cmd)
	}
	if cmd.acts {
		c.audit(cmd, args, err)
	}
	return r, err
}

// audit writes an operator's command to the audit log.
func (c *client) audit(cmd *command, args []string, err error) {
	a := Action{Operator: c.addr, Name: strings.ToLower(cmd.name), Result: c.result}
	if err != nil {
		a.Result = errorText(err)
	}
	a.Command = truncate(strings.Join(args, " "), auditedBytes)
	c.server.backend.Audit(a)
}

// auditedBytes bounds a command's text in the audit log.
const auditedBytes = 256

func hasSubcommands(name string) bool {
	return slices.ContainsFunc(commands, func(c *command) bool {
		return strings.HasPrefix(c.name, name+" ")
	})
}
