package main

import (
	"context"
	"strings"

	"holdfast/configs"
	"holdfast/proxy"
	"holdfast/proxy/upstream"
)

// checkCutOff asks whether a primary without replicas goes on taking writes.
func checkCutOff(ctx context.Context, r *report, c *configs.Config, u *upstream.Upstream) {
	const name = "min-replicas-to-write"
	settings, err := u.ConfigGet(ctx, name)
	if err != nil || settings[name] != "0" {
		return
	}
	text, n := "", 1
	if c.Journal.Dir != "" {
		text, n = " (the journal counts as one)", 2
	}
	r.warn("failover", "%s is 0: a primary that is cut off from its replicas goes on taking writes, which a failover "+
		"loses. On every server: CONFIG SET %s %d%s", name, name, n, text)
}

// checkDemotion asks whether the proxy may demote the old primary of a failover.
func checkDemotion(
	ctx context.Context, r *report, c *configs.Config, u *upstream.Upstream, user string,
) {
	if c.Failover.Fence != configs.Auto {
		r.warn("failover", "failover.fence is %s: clients that go round the proxy write to the old primary for some ten "+
			"seconds after a failover, and these writes are lost", c.Failover.Fence)
		return
	}
	var names, grants []string
	for _, words := range proxy.DemotionNeeds() {
		args := []any{"ACL", "DRYRUN", user}
		for _, word := range words {
			args = append(args, word)
		}
		reply, err := u.Do(ctx, args...)
		if err != nil {
			r.warn("failover", "whether the control user %s may demote an old primary is unknown: ACL DRYRUN: %v", user, err)
			return
		}
		if reply != "OK" {
			name, grant := words[0], "+"+strings.ToLower(words[0])
			if name == "CLIENT" || name == "CONFIG" {
				name, grant = name+" "+words[1], grant+"|"+strings.ToLower(words[1])
			}
			names, grants = append(names, name), append(grants, grant)
		}
	}
	if len(names) == 0 {
		r.ok("failover", "the control user %s may demote the old primary", user)
		return
	}
	r.warn("failover", "the control user %s may not run %s: after a failover the old primary is not demoted at once. On "+
		"every server: ACL SETUSER %s %s", user, strings.Join(names, ", "), user, strings.Join(grants, " "))
}
