package proxy

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"holdfast/policy"
	"holdfast/proxy/resp"
	"holdfast/proxy/upstream"
)

// A proxy that was killed leaves its guard's user on the server; so do CONFIG REWRITE and ACL SAVE
// of a living one, which outlast both. The name of the user ends as the name of the control
// connection of its process does, so a user whose process has no connection is stale. It is deleted
// when two looks in a row have found it so: a connection may just be on its way back. Should the
// process live all the same, it makes its user anew.
//
// Processes that live are asked for rarely, since CLIENT LIST may be long.

// foreignGuard is what is known of another process's user.
type foreignGuard struct {
	missing bool      // its process was not there
	again   time.Time // when to look again
}

// guardAlive is how long a process that was seen is believed to live.
const guardAlive = 10 * time.Minute

// newInstance is a name for this process.
func newInstance() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// newUpstream makes an upstream whose control connections bear the name of this process.
func (srv *Server) newUpstream(o upstream.Options) *upstream.Upstream {
	if o.ClientName == "" {
		o.ClientName = controlName(srv.instance)
	}
	return upstream.New(o)
}

func controlName(instance string) string { return upstream.DefaultClientName + "-" + instance }

// clearStale deletes the users of processes that are gone. What the control user may not do for that
// leaves them where they are.
func (k *guardKeeper) clearStale(ctx context.Context, up *upstream.Upstream) {
	reply, err := up.Do(ctx, "ACL", "USERS")
	users, _ := reply.([]any)
	if err != nil {
		return
	}
	others, due, now := map[string]foreignGuard{}, false, time.Now()
	for _, u := range users {
		name, _ := u.(string)
		if instance := guardInstance(name); instance != "" && instance != k.srv.instance {
			others[name] = k.others[name]
			due = due || !now.Before(others[name].again)
		}
	}
	k.others = others
	if !due {
		return
	}
	list, err := up.Do(ctx, "CLIENT", "LIST")
	text, _ := list.(string)
	lives := func(instance string) bool { return strings.Contains(text, controlWord(instance)) }
	if err != nil || !lives(k.srv.instance) {
		return // the list does not tell
	}
	for name, o := range others {
		switch {
		case lives(guardInstance(name)):
			o = foreignGuard{again: now.Add(guardAlive)}
		case !o.missing:
			o = foreignGuard{missing: true}
		default:
			k.deleteStale(ctx, up, name)
		}
		others[name] = o
	}
}

// controlWord is how CLIENT LIST names a process's control connections.
func controlWord(instance string) string { return " name=" + controlName(instance) + " " }

func (k *guardKeeper) deleteStale(ctx context.Context, up *upstream.Upstream, name string) {
	if _, err := up.Do(ctx, "ACL", "DELUSER", name); err != nil {
		k.srv.log.Warn("the user of a proxy that is gone cannot be deleted", "user", name,
			"error", err)
		return
	}
	k.srv.log.Info("the user of a proxy that is gone was deleted", "user", name)
}

// guardInstance is the process whose user that is; "" for other users.
func guardInstance(name string) string {
	rest, ok := strings.CutPrefix(name, GuardPrefix)
	if _, instance, cut := strings.Cut(rest, "-"); ok && cut {
		return instance
	}
	return ""
}

// isGuard reports whether a client means a user of the proxy's own.
func isGuard(name []byte) bool { return bytes.HasPrefix(name, []byte(GuardPrefix)) }

// touchesGuard answers commands by which a client would become a user of the proxy's own, or change
// one. For clients there are no such users, and for changes there is this.
func (s *session) touchesGuard(c *resp.Command, cmd *policy.Command) (done, ok bool) {
	switch {
	case cmd.Name == "auth" && len(c.Args) == 3 && isGuard(c.Args[1]):
	case cmd.Name == "hello" && helloAsGuard(c.Args):
	case strings.HasPrefix(cmd.Name, "acl|") && changesGuard(c.Args):
		name := commandName(cmd, c.Args)
		s.audit(c, cmd, &policy.Rule{Name: "guard", Action: policy.Deny}, denied, "")
		return true, s.refuse1(cmd, fmt.Sprintf(textGuardUser, strings.ReplaceAll(name, "|", " ")))
	default:
		return false, false
	}
	return true, s.refuse1(cmd, textWrongPass)
}

func helloAsGuard(args [][]byte) bool {
	h := parseHello(args)
	return h.auth != nil && isGuard([]byte(h.auth.user))
}

// changesGuard reports whether a user of the proxy's own is among those that ACL SETUSER or DELUSER
// names.
func changesGuard(args [][]byte) bool {
	if len(args) < 3 {
		return false
	}
	names := args[2:]
	if resp.EqualFold(args[1], "setuser") {
		names = names[:1]
	}
	for _, name := range names {
		if isGuard(name) {
			return true
		}
	}
	return false
}
