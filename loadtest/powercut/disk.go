//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A machine is a platter, a loop device on it, and an ext4 on that.
type machine struct {
	platter *platter
	loop    string
	root    string // where the ext4 is mounted
}

// boot mounts an image. A nil image is a new file system of size bytes.
func boot(dir string, image []byte, size int) (*machine, error) {
	m := &machine{root: filepath.Join(dir, "ext4")}
	fuse := filepath.Join(dir, "fuse")
	for _, d := range []string{m.root, fuse} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	fresh := image == nil
	if fresh {
		image = make([]byte, size)
	}
	var err error
	if m.platter, err = mountPlatter(fuse, image); err != nil {
		return nil, err
	}
	loop, err := command("losetup", "--find", "--show", m.platter.path())
	if err == nil && fresh {
		_, err = command("mkfs.ext4", "-q", "-E", "nodiscard,lazy_itable_init=0", loop)
	}
	m.loop = loop
	if err == nil {
		err = unix.Mount(loop, m.root, "ext4", 0, "")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("boot: %w", err), m.down())
	}
	return m, nil
}

// down takes everything away, whatever state it is in. Of a disk without power, unmounting fails
// in many ways that mean nothing.
func (m *machine) down() error {
	off := m.platter.isOff()
	err := unix.Unmount(m.root, 0)
	if err != nil {
		err = unix.Unmount(m.root, unix.MNT_DETACH)
	}
	if m.loop != "" {
		_, lerr := command("losetup", "--detach", m.loop)
		err = errors.Join(err, lerr)
	}
	err = errors.Join(err, m.platter.stop())
	if off {
		return nil
	}
	return err
}

func (p *platter) isOff() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.off
}

func command(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}
