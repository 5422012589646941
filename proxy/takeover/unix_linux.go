package takeover

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Name is the beginning of the name of the socket for the proxies of one configuration file. The folder goes into it by device and
// inode and not by its path: containers that share a network namespace have files of the same path.
func Name(config string) string {
	folder, file := filepath.Split(config)
	id := folder
	if info, err := os.Stat(filepath.Clean(folder)); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			id = fmt.Sprint(st.Dev, " ", st.Ino)
		}
	}
	return fmt.Sprintf("@holdfast-takeover-%.12x", sha256.Sum256([]byte(id+"/"+file)))
}

// socketList has the unix sockets of the own network namespace.
const socketList = "/proc/net/unix"

// listen opens a socket for the proxies of a name. Its own name ends in a random word: otherwise any user of the machine
// could take it first, and keep upgrades from this one. Where sockets cannot be listed it is the name alone.
func listen(name string) (*net.UnixListener, error) {
	if _, err := os.Stat(socketList); err == nil {
		name += "-" + rand.Text()
	}
	return net.ListenUnix("unixpacket", &net.UnixAddr{Name: name, Net: "unixpacket"})
}

// candidates are the sockets that listen has opened for a name, here or in another process, and those of any
// pretender.
func candidates(name string) []string {
	out := []string{name}
	data, err := os.ReadFile(socketList)
	if err != nil {
		return out
	}
	for line := range strings.Lines(string(data)) {
		// Num RefCount Protocol Flags Type St Inode Path; __SO_ACCEPTCON among the flags: it listens.
		f := strings.Fields(line)
		if len(f) == 8 && f[3] == "00010000" && strings.HasPrefix(f[7], name+"-") {
			out = append(out, f[7])
		}
	}
	return out
}

func dial(address string) (*net.UnixConn, error) {
	return net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: address, Net: "unixpacket"})
}

// peerOf returns process and user at the other end of a connection.
func peerOf(conn *net.UnixConn) (pid, uid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err != nil || failed != nil {
		return 0, 0, fmt.Errorf("takeover: who is there: %w", cmp.Or(err, failed))
	}
	return int(cred.Pid), int(cred.Uid), nil
}

// sameGroup reports whether a process is in this one's control group: the service manager accepts no other as its
// main process.
func sameGroup(pid int) bool {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return true // there are none
	}
	other, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	return err == nil && string(own) == string(other)
}

// roomForRights is the room that maxSockets descriptors take.
var roomForRights = unix.CmsgSpace(4 * maxSockets)

func rights(files []int) []byte {
	if len(files) == 0 {
		return nil
	}
	return unix.UnixRights(files...)
}

func parseRights(oob []byte) (files []int, err error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for i := range messages {
		more, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return files, err
		}
		files = append(files, more...)
	}
	return files, nil
}

func closeFiles(files []int) {
	for _, f := range files {
		unix.Close(f)
	}
}
