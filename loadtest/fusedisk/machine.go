//go:build linux

package fusedisk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A Machine is a Disk, a loop device on it, and an ext4 on that.
type Machine struct {
	Disk *Disk
	Root string // the mount point of the ext4
	loop string
}

// Available names the missing requirements of a Machine; nil: none.
func Available() error {
	if os.Geteuid() != 0 {
		return errors.New("it needs root")
	}
	for _, dev := range []string{"/dev/fuse", "/dev/loop-control"} {
		if _, err := os.Stat(dev); err != nil {
			return err
		}
	}
	for _, program := range []string{"losetup", "mkfs.ext4"} {
		if _, err := exec.LookPath(program); err != nil {
			return err
		}
	}
	return nil
}

// Boot mounts an image below dir. A nil image is a new file system of size bytes, which take
// memory only as they are written.
func Boot(dir string, image []byte, size int, opts Options) (*Machine, error) {
	m := &Machine{Root: filepath.Join(dir, "ext4")}
	fuse := filepath.Join(dir, "fuse")
	for _, d := range []string{m.Root, fuse} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	fresh := image == nil
	if fresh {
		image = make([]byte, size)
	}
	var err error
	if m.Disk, err = mount(fuse, image, opts); err != nil {
		return nil, err
	}
	m.loop, err = command("losetup", "--find", "--show", m.Disk.path())
	if err == nil && fresh {
		// Everything is written now, so that no background thread writes later.
		_, err = command("mkfs.ext4", "-q", "-N", "8192", "-E",
			"nodiscard,lazy_itable_init=0,lazy_journal_init=0", m.loop)
	}
	if err == nil {
		err = unix.Mount(m.loop, m.Root, "ext4", 0, "")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("boot: %w", err), m.Down())
	}
	return m, nil
}

// Down takes everything away, whatever state it is in. Unmounting a disk without power fails in
// many meaningless ways.
func (m *Machine) Down() error {
	off := m.Disk.isOff()
	err := unix.Unmount(m.Root, 0)
	if err != nil {
		err = unix.Unmount(m.Root, unix.MNT_DETACH)
	}
	if m.loop != "" {
		_, lerr := command("losetup", "--detach", m.loop)
		err = errors.Join(err, lerr)
	}
	err = errors.Join(err, m.Disk.stop())
	if off {
		return nil
	}
	return err
}

func command(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}
