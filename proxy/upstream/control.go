package upstream

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// controlConns is the maximum number of control connections, opened on demand: one for the checks,
// the others so that checks and the commands of Do do not wait for each other.
const controlConns = 4

// newControl returns a go-redis client without automatic behaviour: no retries, no names and
// library versions, which an older server answers with an error, no notifications, no pools for
// pipelines. RESP2 keeps the shapes of replies plain and the connection free of pushes.
func (u *Upstream) newControl() *redis.Client { return redis.NewClient(u.controlOptions()) }

func (u *Upstream) controlOptions() *redis.Options {
	return &redis.Options{
		Addr:                  u.opts.Address,
		Dialer:                u.dialForRedis,
		OnConnect:             u.nameControl,
		Protocol:              2,
		Username:              u.loginUser(),
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

// nameControl names the connection where the user has the permission. With go-redis's own
// ClientName option a refusal would close the connection.
func (u *Upstream) nameControl(ctx context.Context, conn *redis.Conn) error {
	err := conn.ClientSetName(ctx, u.opts.ClientName).Err()
	if _, refused := serverError(err); refused {
		return nil
	}
	return err
}

// client returns the current control client.
func (u *Upstream) client() *redis.Client {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.control
}

// renewControl replaces the control client. After as many failed dials as the pool has connections,
// go-redis dials at its own pace, a second apart, and returns the old error in between; here the
// Backoff sets the pace.
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

// closeControl closes the control client for good. It returns once that is closed, also if another call closes it.
func (u *Upstream) closeControl() {
	u.closing.Do(func() {
		u.mu.Lock()
		u.closed = true
		control := u.control
		u.mu.Unlock()
		u.closeClient(control)
		u.replicas.close(u)
	})
}

func (u *Upstream) closeClient(c *redis.Client) {
	if err := c.Close(); err != nil {
		u.log.Debug("close control connection", "error", err)
	}
}

// clientLog passes go-redis's log to slog, at debug level: this package reports the same failures
// as errors.
type clientLog struct{ log *slog.Logger }

// logClient makes go-redis log to log. go-redis has one logger per process: the last call wins.
func logClient(log *slog.Logger) { redis.SetLogger(clientLog{log}) }

// Printf implements go-redis's logging interface.
func (l clientLog) Printf(ctx context.Context, format string, v ...any) {
	if l.log.Enabled(ctx, slog.LevelDebug) {
		l.log.DebugContext(ctx, "go-redis", "text", fmt.Sprintf(format, v...))
	}
}
