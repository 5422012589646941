package guard

import (
	"context"
	"strings"
	"time"
)

// A killed proxy leaves its guard's user on the server; CONFIG REWRITE and ACL SAVE during a
// proxy's life preserve the user, too. The user's name has the same suffix as the control
// connection of its process, so a user whose process has no connection is stale. It is deleted
// after two such checks in a row, since the connection may just be reconnecting. If the process is
// alive after all, it makes its user again.
//
// Live processes are checked rarely, since CLIENT LIST may be long.

// foreigner is the state of another process's user.
type foreigner struct {
	missing bool      // its process had no connection
	again   time.Time // time of the next check
}

// aliveFor is how long a process counts as alive after it was seen.
const aliveFor = 10 * time.Minute

// clearStale deletes the users of processes that are gone. Without the permissions for that they
// stay.
func (k *Keeper) clearStale(ctx context.Context, on Server) {
	reply, err := on.Do(ctx, "ACL", "USERS")
	users, _ := reply.([]any)
	if err != nil {
		return
	}
	others, due, now := map[string]foreigner{}, false, time.Now()
	for _, u := range users {
		name, _ := u.(string)
		if instance := instanceOf(name); instance != "" && instance != k.instance {
			others[name] = k.others[name]
			due = due || !now.Before(others[name].again)
		}
	}
	k.others = others
	if !due {
		return
	}
	list, err := on.Do(ctx, "CLIENT", "LIST")
	text, _ := list.(string)
	lives := func(instance string) bool { return strings.Contains(text, k.controlWord(instance)) }
	if err != nil || !lives(k.instance) {
		return // the list is unavailable
	}
	for name, o := range others {
		switch {
		case lives(instanceOf(name)):
			o = foreigner{again: now.Add(aliveFor)}
		case !o.missing:
			o = foreigner{missing: true}
		default:
			k.deleteStale(ctx, on, name)
		}
		others[name] = o
	}
}

// controlWord returns the name field of a process's control connections in CLIENT LIST.
func (k *Keeper) controlWord(instance string) string { return " name=" + k.control(instance) + " " }

func (k *Keeper) deleteStale(ctx context.Context, on Server, name string) {
	if _, err := on.Do(ctx, "ACL", "DELUSER", name); err != nil {
		k.log.Warn("the user of a proxy that is gone cannot be deleted", "user", name,
			"error", err)
		return
	}
	k.log.Info("the user of a proxy that is gone was deleted", "user", name)
}

// instanceOf returns the process of a guard's user; "" for other users.
func instanceOf(name string) string {
	rest, ok := strings.CutPrefix(name, Prefix)
	if _, instance, cut := strings.Cut(rest, "-"); ok && cut {
		return instance
	}
	return ""
}
