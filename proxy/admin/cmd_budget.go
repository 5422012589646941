package admin

import (
	"context"
	"fmt"
)

var budgetCommands = []*command{
	{name: "SHOW BUDGETS", args: "[JSON]", help: "delete budgets, and what is left of them",
		max: 1, run: showBudgets},
	{name: "RESET BUDGET", acts: true, args: "name [user]", min: 1, max: 2, run: resetBudget,
		help: "forget what was deleted, and let deletes pass again"},
}

func showBudgets(ctx context.Context, c *client, args []string) (reply, error) {
	list, err := c.server.backend.Budgets(ctx)
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].Breakers = notNil(list[i].Breakers)
	}
	return show(args, notNil(list), budgetLines)
}

// budgetRows is the number of users, addresses or sessions shown of a budget; JSON has all.
const budgetRows = 20

func budgetLines(list []Budget) []string {
	if len(list) == 0 {
		return []string{"no delete budgets"}
	}
	t := table{head: []string{"BUDGET", "WHO", "DELETED", "OF", "WINDOW", "OPENS-IN", "TRIPS"}}
	for i := range list {
		b := &list[i]
		if len(b.Breakers) == 0 {
			t.row(b.Name, "", 0, b.Keys, b.Window, "", 0)
		}
		for _, s := range b.Breakers[:min(len(b.Breakers), budgetRows)] {
			open := ""
			if s.Open > 0 {
				open = Duration(s.Open)
			}
			t.row(b.Name, s.Who, s.Deleted, b.Keys, b.Window, open, s.Trips)
		}
	}
	return t.lines()
}

func resetBudget(ctx context.Context, c *client, args []string) (reply, error) {
	user := ""
	if len(args) > 1 {
		user = args[1]
	}
	open, err := c.server.backend.ResetBudget(ctx, args[0], user)
	if err != nil {
		return nil, err
	}
	c.server.log.Info("console: budget reset", "addr", c.addr, "budget", args[0], "user", user,
		"open", open)
	c.result = fmt.Sprintf("OK: %d had been used up", open)
	return lines([]string{c.result}), nil
}
