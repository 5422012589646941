package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// infoSections are the parts of INFO that a check reads.
var infoSections = []any{
	"info", "server", "clients", "memory", "persistence", "replication", "cluster",
}

// Probe checks the server once, completely, on the caller's goroutine, and returns the new Info.
// The error is Info.Err of a server that is not up, or the context's if that ended first; Info is
// unchanged then. A server that is up but rejects the control user is no error here: Info.Err has
// it.
//
// It is meant for the time before Start. After Start it works too, but OnChange gets the result
// only with the next check.
func (u *Upstream) Probe(ctx context.Context) (*Info, error) {
	info, err := u.check(ctx, true)
	u.Recheck()
	if err == nil && !info.Up {
		err = info.Err
	}
	return info, err
}

// check asks the server and publishes the result as Info. full includes the slow part even if it is
// not due. A check that its context ended proves nothing, changes nothing and returns the context's
// error.
func (u *Upstream) check(ctx context.Context, full bool) (*Info, error) {
	u.probing.Lock()
	defer u.probing.Unlock()
	before := u.info.Load()
	fields, err := u.readInfo(ctx)
	if before.Up && noAnswer(err) && !timedOut(err) && !ended(ctx) {
		u.renewControl()
		fields, err = u.readInfo(ctx)
	}
	if noAnswer(err) && ended(ctx) {
		return before, fmt.Errorf("check of %s: %w", u.opts.Address, err)
	}
	after := *before
	after.Checked = time.Now()
	if noAnswer(err) && !timedOut(err) {
		if refusal := u.readRefusal(ctx); refusal != nil {
			err = refusal
		}
	}
	after.Up, after.Err = judge(err)
	if after.Up {
		u.examineLogin(ctx, &after, full)
		u.examine(ctx, before, &after, fields, err, full)
		u.examineReplicas(ctx, &after, full)
	} else {
		u.renewControl()
	}
	if after.Up != before.Up {
		after.Since = after.Checked
	}
	u.info.Store(&after)
	return &after, nil
}

// judge derives the server's state from the outcome of INFO.
func judge(err error) (up bool, why error) {
	text, answered := serverError(err)
	switch {
	case err == nil:
		return true, nil
	case !answered:
		return false, err
	case TurnsAway(text):
		return false, fmt.Errorf("%w: %s", ErrRefused, text)
	case strings.HasPrefix(text, "NOAUTH"), strings.HasPrefix(text, "WRONGPASS"):
		return true, fmt.Errorf("%w: %s; %s", ErrLogin, text, loginHint)
	}
	return true, nil // NOPERM, LOADING, BUSY: the server answers
}

// examine fills in the fields of a server that is up. fields is INFO, or nil with INFO's error.
func (u *Upstream) examine(
	ctx context.Context, before, after *Info, fields map[string]string, err error, full bool,
) {
	if fields != nil {
		after.applyInfo(fields)
	} else if text, _ := serverError(err); strings.HasPrefix(text, "LOADING") {
		after.Loading = true
	}
	if anotherServer(before, after) {
		after.Generation++
		after.CommandReply = nil
		full = true
	}
	switch {
	case full, !before.Up, (before.Err == nil) != (after.Err == nil),
		before.Loading != after.Loading, time.Since(u.refreshed) >= u.opts.Refresh:
		u.examineAll(ctx, after, err)
	case (u.closely.Load() || len(before.Refuses()) > 0) && after.Err == nil:
		u.examineFsync(ctx, after)
	}
}

// examineFsync reads the fsync settings again, between two slow parts of a check. After a failure
// the next check tries again, completely if the user has lost the permission.
func (u *Upstream) examineFsync(ctx context.Context, after *Info) {
	err := u.readConfig(ctx, after)
	if text, _ := serverError(err); strings.HasPrefix(text, "NOPERM") {
		u.refreshed = time.Time{}
	}
}

// anotherServer reports whether another server answers now than before.
func anotherServer(before, after *Info) bool {
	return before.Generation == 0 || before.RunID != after.RunID ||
		before.Role != after.Role || before.Version != after.Version ||
		// Without INFO, any server that comes up may be another one.
		(after.RunID == "" && !before.Up)
}

// examineAll does the slow part of a check. Fields that fail to load keep their values and are
// tried again at the next check, unless the permission is missing.
func (u *Upstream) examineAll(ctx context.Context, after *Info, infoErr error) {
	var missing []string
	complete := true
	note := func(command string, err error) {
		switch text, _ := serverError(err); {
		case err == nil:
		case strings.HasPrefix(text, "NOPERM"):
			missing = append(missing, command)
		default:
			complete = false
			u.log.Debug("upstream check", "command", command, "error", err)
		}
	}
	if after.Err == nil { // logged in
		note("info", infoErr)
		note("config|get", u.readConfig(ctx, after))
		note("command", u.readCommands(ctx, after))
	}
	slices.Sort(missing)
	after.Missing = missing
	u.refreshed = time.Time{}
	if complete {
		u.refreshed = time.Now()
	}
}

// readInfo runs INFO with the sections of interest, which Redis 7.0 can take all at once; for an
// older server with its default sections.
func (u *Upstream) readInfo(ctx context.Context) (map[string]string, error) {
	reply, err := u.Do(ctx, infoSections...)
	if text, ok := serverError(err); ok && strings.HasPrefix(text, "ERR syntax error") {
		reply, err = u.Do(ctx, "info")
	}
	if err != nil {
		return nil, err
	}
	text, ok := reply.(string)
	if !ok {
		return nil, fmt.Errorf("info: got a reply of type %T, want a text", reply)
	}
	return parseInfo(text), nil
}

// readConfig reads the settings of interest.
func (u *Upstream) readConfig(ctx context.Context, after *Info) error {
	config, err := u.ConfigGet(ctx, configNames...)
	if err != nil {
		if text, _ := serverError(err); strings.HasPrefix(text, "NOPERM") {
			after.AppendFsync = "" // the earlier value may be outdated
		}
		return err
	}
	after.applyConfig(config)
	return nil
}

// ConfigGet runs CONFIG GET as Do does. A parameter that the server lacks is not in the result.
func (u *Upstream) ConfigGet(ctx context.Context, names ...any) (map[string]string, error) {
	reply, err := u.Do(ctx, append([]any{"config", "get"}, names...)...)
	if err != nil {
		return nil, err
	}
	pairs, ok := reply.([]any)
	if !ok || len(pairs)%2 != 0 {
		return nil, fmt.Errorf("config get: got a reply of type %T, want pairs", reply)
	}
	config := make(map[string]string, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		name, _ := pairs[i].(string)
		config[name], _ = pairs[i+1].(string)
	}
	return config, nil
}

// readCommands runs COMMAND if the table is unknown or its size has changed, as after MODULE LOAD.
// COMMAND COUNT has a permission of its own; without it, the table stays until the server changes.
func (u *Upstream) readCommands(ctx context.Context, after *Info) error {
	reply, err := u.Do(ctx, "command", "count")
	if noAnswer(err) {
		return err
	}
	count, _ := reply.(int64)
	if after.CommandReply != nil && (err != nil || count == u.commands) {
		return nil
	}
	table, err := u.Do(ctx, "command")
	if err != nil {
		return err
	}
	if _, ok := table.([]any); !ok {
		return fmt.Errorf("command: got a reply of type %T, want an array", table)
	}
	after.CommandReply, u.commands = table, count
	return nil
}

// greetingTimeout is how long to wait for the refusal of a server that refuses connections. The
// server sends it unasked, so this covers one network transit and the delay of a busy server.
const greetingTimeout = 250 * time.Millisecond

// readRefusal returns the error with which the server closes a connection that has sent nothing, as
// an error that wraps ErrRefused; nil if there is none. On the control connection that text is
// often lost: the server closes before it reads the first command, which resets the connection.
func (u *Upstream) readRefusal(ctx context.Context) error {
	conn, err := u.dialControl(ctx)
	if err != nil {
		return nil
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(u.greeting)); err != nil {
		return nil
	}
	line, _ := bufio.NewReaderSize(conn, 512).ReadString('\n')
	text := strings.TrimPrefix(strings.TrimSpace(line), "-")
	if !TurnsAway(text) {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrRefused, text)
}

// TurnsAway recognizes the errors with which a server refuses a connection: protected mode and
// maxclients.
func TurnsAway(text string) bool {
	return strings.HasPrefix(text, "DENIED") || strings.HasPrefix(text, "ERR max number of clients")
}

// serverError returns the text of an error reply.
func serverError(err error) (text string, ok bool) {
	var reply redis.Error
	if errors.As(err, &reply) && !errors.Is(err, redis.Nil) {
		return reply.Error(), true
	}
	return "", false
}

// noAnswer reports whether err is not nil and no error reply.
func noAnswer(err error) bool {
	_, answered := serverError(err)
	return err != nil && !answered
}

// timedOut reports whether err is a timeout, not a refusal or a broken connection.
func timedOut(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

// ended reports whether ctx is over or about to end: a socket deadline taken from it can pass a
// moment earlier.
func ended(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(deadline)
}
