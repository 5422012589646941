package admin

import (
	"context"
	"fmt"
)

var confirmCommands = []*command{
	{name: "SHOW PENDING", args: "[JSON]", help: "commands that wait for APPROVE or REJECT",
		max: 1, run: showPending},
	{name: "APPROVE", args: "token", min: 1, max: 1, run: approve,
		help: "let a command pass once, within five minutes, when its user sends it again"},
	{name: "REJECT", args: "token", min: 1, max: 1, run: reject,
		help: "forget a command that waits"},
}

func showPending(ctx context.Context, c *client, args []string) (reply, error) {
	list, err := c.server.backend.Pending(ctx)
	if err != nil {
		return nil, err
	}
	return show(args, notNil(list), pendingLines)
}

func pendingLines(list []Pending) []string {
	if len(list) == 0 {
		return []string{"nothing waits for approval"}
	}
	t := table{head: []string{"TOKEN", "STATE", "AGE", "LEFT", "ASKED", "USER", "ADDRESS", "NAME",
		"DB", "RULE", "COMMAND"}}
	for i := range list {
		p := &list[i]
		state := "waiting"
		if p.Approved {
			state = "approved"
		}
		t.row(p.Token, state, p.Age, p.Left, p.Asked, p.User, p.Addr, p.Name, p.DB, p.Rule,
			p.Command)
	}
	return t.lines()
}

func approve(ctx context.Context, c *client, args []string) (reply, error) {
	p, err := c.server.backend.Approve(ctx, args[0], c.addr)
	if err == nil && p == nil {
		err = errNoPending(args[0])
	}
	if err != nil {
		return nil, err
	}
	c.server.log.Info("console: approved", "addr", c.addr, "token", p.Token, "user", p.User,
		"command", p.Command)
	return lines([]string{fmt.Sprintf("OK: user %s may send this once within five minutes: %s",
		Clean(p.User), Clean(p.Command))}), nil
}

func reject(ctx context.Context, c *client, args []string) (reply, error) {
	p, err := c.server.backend.Reject(ctx, args[0], c.addr)
	if err == nil && p == nil {
		err = errNoPending(args[0])
	}
	if err != nil {
		return nil, err
	}
	c.server.log.Info("console: rejected", "addr", c.addr, "token", p.Token, "user", p.User,
		"command", p.Command)
	return simple("OK"), nil
}
