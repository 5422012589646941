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

// A killed proxy leaves its guard's user on the server; CONFIG REWRITE and ACL SAVE during a
// proxy's life preserve the user, too. The user's name has the same suffix as the control
// connection of its process, so a user whose process has no connection is stale. It is deleted
// after two such checks in a row, since the connection may just be reconnecting. If the process is
// alive after all, it makes its user again.
//
// Live processes are checked rarely, since CLIENT LIST may be long.

// foreignGuard is the state of another process's user.
type foreignGuard struct {
	missing bool      // its process had no connection
	again   time.Time // time of the next check
}

// guardAlive is how long a process counts as alive after it was seen.
const guardAlive = 10 * time.Minute

// newInstance returns a random name for this process.
func newInstance() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// newUpstream makes an upstream whose control connections have the name of this process.
func (srv *Server) newUpstream(o upstream.Options) *upstream.Upstream {
	if o.ClientName == "" {
		o.ClientName = controlName(srv.instance)
	}
	up := upstream.New(o)
	up.Precede(srv.logs)
	return up
}

func controlName(instance string) string { return upstream.DefaultClientName + "-" + instance }

// clearStale deletes the users of processes that are gone. Without the permissions for that they
// stay.
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
		return // the list is unavailable
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

// controlWord returns the name field of a process's control connections in CLIENT LIST.
func controlWord(instance string) string { return " name=" + controlName(instance) + " " }

func (k *guardKeeper) deleteStale(ctx context.Context, up *upstream.Upstream, name string) {
	if _, err := up.Do(ctx, "ACL", "DELUSER", name); err != nil {
		k.srv.log.Warn("the user of a proxy that is gone cannot be deleted", "user", name,
			"error", err)
		return
	}
	k.srv.log.Info("the user of a proxy that is gone was deleted", "user", name)
}

// guardInstance returns the process of a guard's user; "" for other users.
func guardInstance(name string) string {
	rest, ok := strings.CutPrefix(name, GuardPrefix)
	if _, instance, cut := strings.Cut(rest, "-"); ok && cut {
		return instance
	}
	return ""
}

// isGuard reports whether name is a user of the proxy's own.
func isGuard(name []byte) bool { return bytes.HasPrefix(name, []byte(GuardPrefix)) }

// touchesGuard answers commands by which a client would become or change a user of the proxy's own.
// Logins fail as if the user did not exist, and changes are denied.
func (f *frame) touchesGuard() next {
	cmd := f.cmd
	switch {
	case cmd.Name == "auth" && len(f.Args) == 3 && isGuard(f.Args[1]):
	case cmd.Name == "hello" && helloAsGuard(f.Args):
	case strings.HasPrefix(cmd.Name, "acl|") && changesGuard(f.Args):
		name := commandName(cmd, f.Args)
		f.audit(&policy.Rule{Name: "guard", Action: policy.Deny}, denied, "")
		return f.refuse(fmt.Sprintf(textGuardUser, spoken(name)))
	default:
		return goOn
	}
	return f.refuse(textWrongPass)
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
