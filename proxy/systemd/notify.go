package systemd

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxStatus bounds a status line in bytes: systemctl shows it as one line.
const maxStatus = 500

// A Notifier sends to the service manager. It is safe for concurrent use.
type Notifier struct {
	conn     *net.UnixConn
	watchdog time.Duration
}

// FromEnv connects to the socket in NOTIFY_SOCKET. Without that variable it returns nil and no error.
func FromEnv() (*Notifier, error) {
	address := os.Getenv("NOTIFY_SOCKET")
	if address == "" {
		return nil, nil
	}
	// An address that begins with @ is in the abstract namespace; package net reads it as such.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	return &Notifier{conn: conn, watchdog: watchdogFromEnv()}, nil
}

// watchdogFromEnv is the time within which the service manager wants a sign of life; 0: it wants
// none. WATCHDOG_PID names the process that the time is meant for.
func watchdogFromEnv() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 {
		return 0
	}
	return time.Duration(usec) * time.Microsecond
}

// Watchdog is the longest time between two calls of Alive; 0: the service manager expects none.
func (n *Notifier) Watchdog() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog
}

// Ready says that the start, or a reload, is over.
func (n *Notifier) Ready() error { return n.send("READY=1") }

// Reloading says that a reload has begun; Ready ends it.
func (n *Notifier) Reloading() error { return n.send("RELOADING=1" + monotonic()) }

// Stopping says that the process has begun to end.
func (n *Notifier) Stopping() error { return n.send("STOPPING=1") }

// Main names the process that is the service's main one from now on. Its messages are heard then, and this one's no
// more.
func (n *Notifier) Main(pid int) error { return n.send("MAINPID=" + strconv.Itoa(pid)) }

// Alive is a sign of life.
func (n *Notifier) Alive() error { return n.send("WATCHDOG=1") }

// Status sets the line that `systemctl status` shows.
func (n *Notifier) Status(text string) error {
	text = strings.ReplaceAll(text, "\n", "; ")
	if len(text) > maxStatus {
		cut := maxStatus
		for !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut] + "…"
	}
	return n.send("STATUS=" + text)
}

// Close closes the socket.
func (n *Notifier) Close() error {
	if n == nil {
		return nil
	}
	return n.conn.Close()
}

func (n *Notifier) send(state string) error {
	if n == nil {
		return nil
	}
	_, err := n.conn.Write([]byte(state))
	return err
}
