package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"holdfast/proxy/proxytest"
)

// activate starts p as systemd does a service with sockets: they are descriptors 3 and on.
func (p *process) activate(names string, sockets ...*os.File) {
	p.t.Helper()
	p.exited = make(chan struct{})
	proxy := p.program.command(p.t, append([]string{"serve", "--config", p.file}, p.flags...)...)
	// LISTEN_PID is the process's own, which only the process itself knows before it is the proxy.
	p.cmd = exec.Command("sh", append([]string{"-c", `export LISTEN_PID=$$; exec "$@"`, "sh"}, proxy.Args...)...)
	p.cmd.Env = append(proxy.Env, "LISTEN_FDS="+strconv.Itoa(len(sockets)), "LISTEN_FDNAMES="+names)
	if proxy.Env == nil {
		p.cmd.Env = append(os.Environ(), p.cmd.Env...)
	}
	p.cmd.ExtraFiles, p.cmd.Stderr = sockets, &p.log
	p.run()
}

// passed is a listening socket of the service manager's, and its address in the configuration's form.
func passed(t *testing.T, network, address string) (*os.File, string) {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	at := ln.Addr().String()
	var file *os.File
	switch ln := ln.(type) {
	case *net.TCPListener:
		file, err = ln.File()
	case *net.UnixListener:
		ln.SetUnlinkOnClose(false)
		file, err = ln.File()
		at = "unix:" + at
	}
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	t.Cleanup(func() { file.Close() })
	return file, at
}

// Sockets that systemd passes serve the addresses that the configuration has for them, over restarts without a refused
// connection, and in the process of an upgrade, which inherits no variable and no second descriptor.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	dir := proxytest.ShortDir(t)
	tcp, tcpAt := passed(t, "tcp", "127.0.0.1:0")
	unix, unixAt := passed(t, "unix", dir+"/clients")
	p := newProcess(t, checked, srv.Addr, "")
	p.addr = tcpAt
	p.rewrite(fmt.Sprintf("listeners: [{address: %q}, {address: %q, mode: \"0666\"}]\nupstream: {address: %q}\nadmin: {address: %q, http: %q}\n",
		tcpAt, unixAt, srv.Addr, p.console, p.http))
	p.activate("clients:local", tcp, unix)
	p.awaitAnswer()
	local := func() {
		t.Helper()
		client := proxytest.NewClient("unix", dir+"/clients", "")
		defer client.Close()
		if err := client.Ping(t.Context()).Err(); err != nil {
			t.Errorf("the unix socket: %v", err)
		}
	}
	local()
	for _, want := range []string{`address=` + tcpAt + ` name=clients`, `address=` + unixAt + ` name=local`} {
		if !strings.Contains(p.log.String(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
	p.upgradeBySignal(func() {
		p.awaitAnswer()
		local()
	})
	early, err := net.Dial("tcp", tcpAt) // no process serves: it waits in the queue
	if err != nil {
		t.Fatalf("between two processes a connection is refused: %v", err)
	}
	defer early.Close()
	again := p.next()
	again.flags = nil
	again.activate("clients:local", tcp, unix)
	again.awaitAnswer()
	if _, err := early.Write([]byte("PING\r\n")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 7)
	if _, err := io.ReadFull(early, got); err != nil || string(got) != "+PONG\r\n" {
		t.Errorf("the early client gets %q, %v", got, err)
	}
	local()
	again.signal(syscall.SIGTERM)
	again.expectExit(exitDone)
	if _, err := os.Stat(dir + "/clients"); err != nil {
		t.Errorf("the file of the service manager's socket: %v", err)
	}
}

// Sockets that cannot be meant stop the start.
func TestSocketActivationFails(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	tcp, at := passed(t, "tcp", "127.0.0.1:0")
	plainFile, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer plainFile.Close()
	for want, file := range map[string]*os.File{
		"passed a socket at " + at + " (clients), and no address": tcp,
		"descriptor 3 (clients): it is no socket":                 plainFile,
	} {
		p := newProcess(t, checked, srv.Addr, "")
		p.activate("clients", file)
		p.expectExit(exitFailed)
		if !strings.Contains(p.log.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, p.log.String())
		}
	}
}

// Variables that are for another process are no sockets of this one.
func TestSocketsOfAnotherProcess(t *testing.T) {
	t.Setenv("LISTEN_PID", "1")
	t.Setenv("LISTEN_FDS", "3")
	p := startChecked(t, proxytest.StartServer(t), "")
	if err := p.do("PING"); err != nil {
		t.Error(err)
	}
}
