package upstream

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"

	"holdfast/proxy/resp"
)

// A connection stays logged in when the password changes, so the control connections can long
// outlive the validity of their login. New connections of that user, such as the links of fences,
// would fail. So the login is tried on a connection of its own: at each check where proofs are
// asked for (WatchClosely), else with the slow part of a check, and whenever another login has
// failed or may fail (DoubtLogin).

// DoubtLogin asks for an immediate check of the control user's login, after a refused link of that
// user, or a client's change of users or passwords. It never blocks.
func (u *Upstream) DoubtLogin() {
	u.doubt.Store(true)
	u.Recheck()
}

// loginUser returns the user's name. Where the user default has no password, the server accepts
// AUTH with a name and refuses it without.
func (u *Upstream) loginUser() string {
	if u.opts.Username == "" && u.opts.Password != "" {
		return "default"
	}
	return u.opts.Username
}

// examineLogin checks whether a new connection must log in, and whether the control user can.
func (u *Upstream) examineLogin(ctx context.Context, after *Info, full bool) {
	doubted := u.doubt.Swap(false)
	due := full || doubted || u.closely.Load() || u.loginErr != nil || after.Generation == 0 ||
		time.Since(u.refreshed) >= u.opts.Refresh
	if due {
		switch err := u.tryLogin(ctx, after); {
		case err == nil:
		case doubted:
			u.doubt.Store(true) // the next check tries it again
			fallthrough
		default:
			u.log.Debug("upstream check", "command", "auth", "error", err)
		}
	}
	if after.Err == nil {
		after.Err = u.loginErr
	}
}

// tryLogin sends PING and then AUTH on a connection that has not logged in. It returns an error
// only if the connection gave no answers.
func (u *Upstream) tryLogin(ctx context.Context, after *Info) error {
	conn, err := u.dialControl(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := conn.SetDeadline(time.Now().Add(u.opts.ConnectTimeout)); err != nil {
		return err
	}
	in := bufio.NewReaderSize(conn, 4096)
	u.precede(ctx)
	pong, err := exchange(conn, in, "pInG")
	if err != nil {
		return err
	}
	if TurnsAway(strings.TrimPrefix(pong, "-")) {
		return fmt.Errorf("%w: %s", ErrRefused, pong[1:])
	}
	out := strings.HasPrefix(pong, "-NOAUTH")
	required := out
	if u.opts.TLS.ShowsCertificate() { // it may stand for a user there, and for none after RESET
		u.precede(ctx)
		if required, err = requiresLogin(conn, in); err != nil {
			return err
		}
	}
	if u.opts.Password == "" {
		after.AuthRequired, u.loginErr = required, nil
		if out {
			u.loginErr = fmt.Errorf("%w: %s; %s", ErrLogin, pong[1:], loginHint)
		}
		return nil
	}
	u.precede(ctx)
	answer, err := exchange(conn, in, "aUtH", u.loginUser(), u.opts.Password)
	if err != nil {
		return err
	}
	after.AuthRequired, u.loginErr = required, nil
	if strings.HasPrefix(answer, "-WRONGPASS") || strings.HasPrefix(answer, "-NOAUTH") {
		u.loginErr = fmt.Errorf("%w: %s; %s", ErrLogin, answer[1:], loginHint)
	}
	return nil
}

// TryLogin logs in as a user on a connection of its own. It returns ErrLogin if the server refuses,
// and another error if it does not answer.
func (u *Upstream) TryLogin(ctx context.Context, user, password string) error {
	conn, err := u.dialControl(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(u.opts.ConnectTimeout)); err != nil {
		return err
	}
	answer, err := exchange(conn, bufio.NewReaderSize(conn, 4096), "aUtH", user, password)
	if err == nil && answer != "+OK" {
		err = fmt.Errorf("%w: %s", ErrLogin, strings.TrimPrefix(answer, "-"))
	}
	return err
}

// requiresLogin resets a connection, and reports whether the server then requires a login.
func requiresLogin(conn net.Conn, in *bufio.Reader) (bool, error) {
	if _, err := exchange(conn, in, "rEsEt"); err != nil {
		return false, err
	}
	pong, err := exchange(conn, in, "pInG")
	return strings.HasPrefix(pong, "-NOAUTH"), err
}

// TryCertificate shows a user's certificate on a connection of its own. It returns ErrLogin if the
// server takes it for another user, and another error if it does not answer.
func (u *Upstream) TryCertificate(ctx context.Context, user string, cert *tls.Certificate) error {
	conn, err := u.DialAs(ctx, cert)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(u.opts.ConnectTimeout)); err != nil {
		return err
	}
	in := bufio.NewReaderSize(conn, 4096)
	answer, err := exchange(conn, in, "aCl", "wHoAmI")
	if err == nil && strings.HasPrefix(answer, "$") {
		var line []byte
		line, err = in.ReadSlice('\n')
		answer += "\r\n" + string(line)
	}
	if err == nil && !IsUser([]byte(answer), user) {
		err = fmt.Errorf("%w: %s", ErrLogin, strings.TrimLeft(answer, "-$0123456789\r\n"))
	}
	return err
}

// IsUser reports whether a reply to ACL WHOAMI names the user. Without permission for that command,
// the server's refusal names it.
func IsUser(reply []byte, user string) bool {
	text := string(bytes.TrimSuffix(reply, []byte("\r\n")))
	return text == fmt.Sprintf("$%d\r\n%s", len(user), user) ||
		text == "-NOPERM User "+user+" has no permissions to run the 'acl|whoami' command"
}

// exchange sends one command and returns the reply's line.
func exchange(conn net.Conn, in *bufio.Reader, args ...string) (string, error) {
	if _, err := conn.Write(resp.AppendCommandStrings(nil, args...)); err != nil {
		return "", err
	}
	line, err := in.ReadSlice('\n')
	return strings.TrimRight(string(line), "\r\n"), err
}
