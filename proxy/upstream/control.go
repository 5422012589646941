package upstream

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// controlConns is how many control connections there are at most: they are opened as needed, one
// for the checks and some so that neither these nor the commands of Do wait for each other.
const controlConns = 4

// newControl returns a go-redis client with everything off that acts by itself: retries, names and
// library versions that an older server answers with an error, notifications, pools for pipelines.
// RESP2 keeps the shapes of replies plain and the connection free of pushes.
func (u *Upstream) newControl() *redis.Client { return redis.NewClient(u.controlOptions()) }

func (u *Upstream) controlOptions() *redis.Options {
	return &redis.Options{
		Addr:                  u.opts.Address,
		Dialer:                u.dialForRedis,
		OnConnect:             u.nameControl,
		Protocol:              2,
		Username:              u.opts.Username,
		Password:              u.opts.Password,
		MaxRetries:            -1,
		DialTimeout:           u.opts.ConnectTimeout,
		DialerRetries:         1,
		ReadTimeout:           u.opts.ConnectTimeout,
		WriteTimeout:          u.opts.ConnectTimeout,
		ContextTimeoutEnabled: true,
		PoolSize:              controlConns,
		MaxActiveConns:        controlConns,
		PipelinePoolSize:      -1,
		DisableIdentity:       true,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	}
}

// dialForRedis is dialControl in the form that go-redis wants; the address is our own.
func (u *Upstream) dialForRedis(ctx context.Context, _, _ string) (net.Conn, error) {
	return u.dialControl(ctx)
}

// nameControl names the connection where the user may: as go-redis's own ClientName option a
// refusal would end the connection.
func (u *Upstream) nameControl(ctx context.Context, conn *redis.Conn) error {
	err := conn.ClientSetName(ctx, u.opts.ClientName).Err()
	if _, refused := serverError(err); refused {
		return nil
	}
	return err
}

// client returns the control client of this moment.
func (u *Upstream) client() *redis.Client {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.control
}

// renewControl replaces the control client. After as many failed dials as the pool is large,
// go-redis dials on its own clock, a second apart, and answers from memory in between; that pace
// is the Backoff's to choose.
func (u *Upstream) renewControl() {
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return
	}
	old := u.control
	u.control = u.newControl()
	u.mu.Unlock()
	u.closeClient(old)
}

// closeControl closes the control client for good.
func (u *Upstream) closeControl() {
	u.mu.Lock()
	closed := u.closed
	u.closed = true
	control := u.control
	u.mu.Unlock()
	if !closed {
		u.closeClient(control)
		u.replicas.close(u)
	}
}

func (u *Upstream) closeClient(c *redis.Client) {
	if err := c.Close(); err != nil {
		u.log.Debug("close control connection", "error", err)
	}
}

// clientLog passes what go-redis logs to slog. All of it is about attempts that this package
// reports as errors anyway, hence debug.
type clientLog struct{ log *slog.Logger }

// logClient makes go-redis log to log. Its logger is one for the process: the last one wins.
func logClient(log *slog.Logger) { redis.SetLogger(clientLog{log}) }

// Printf implements go-redis's logging interface.
func (l clientLog) Printf(ctx context.Context, format string, v ...any) {
	if l.log.Enabled(ctx, slog.LevelDebug) {
		l.log.DebugContext(ctx, "go-redis", "text", fmt.Sprintf(format, v...))
	}
}
