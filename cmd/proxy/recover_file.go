package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"holdfast/configs"
)

// An upstreamFile is a configuration file whose upstream.address is replaced.
type upstreamFile struct {
	path   string // symbolic links followed
	text   []byte // the present contents
	edited []byte // the new contents
	info   fs.FileInfo
	backup string // the copy that write has made; empty: the file did not change
}

// readUpstreamFile reads a file and prepares its text with the new address.
func readUpstreamFile(path, address string) (upstreamFile, error) {
	f := upstreamFile{path: path}
	real, err := filepath.EvalSymlinks(path) // a rename would replace the link
	if err == nil {
		f.path, err = filepath.Abs(real)
	}
	if err == nil {
		f.info, err = os.Stat(f.path)
	}
	if err == nil {
		f.text, err = os.ReadFile(f.path)
	}
	if err == nil {
		f.edited, err = configs.WithUpstream(path, f.text, address)
	}
	return f, err
}

// changed reports whether the edit changes the file.
func (f *upstreamFile) changed() bool { return !bytes.Equal(f.text, f.edited) }

// check makes sure that the file can be replaced: it makes and removes a file in the same folder.
func (f *upstreamFile) check() error {
	if !f.changed() {
		return nil
	}
	probe, err := os.CreateTemp(filepath.Dir(f.path), ".holdfast-recover-*")
	if err != nil {
		return fmt.Errorf("%s cannot be replaced: %w; write upstream.address by hand and run this again, or "+
			"as its owner", f.path, err)
	}
	err = keepOwner(probe, f.info)
	if err != nil {
		err = fmt.Errorf("%s belongs to another user, and this one may not give it back (%w): run this as its "+
			"owner or as root", f.path, err)
	}
	return errors.Join(err, probe.Close(), os.Remove(probe.Name()))
}

// write replaces the file with the edited text: it writes and syncs a copy of the old file, then
// the new file under another name, then renames that. It leaves a file alone that changed since it
// was read.
func (f *upstreamFile) write(address string, now time.Time) error {
	text, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	if !bytes.Equal(text, f.text) {
		return fmt.Errorf("%s was changed meanwhile", f.path)
	}
	if !f.changed() {
		return nil
	}
	backup := f.path + ".before-recover-" + now.UTC().Format("20060102T150405Z")
	if err := f.put(backup, f.text); err != nil {
		return err
	}
	if err := f.put(f.path, f.edited); err != nil {
		return fmt.Errorf("%w; write upstream.address: %q by hand", err, address)
	}
	f.backup = backup
	return nil
}

// put writes and syncs a file under another name and then renames it. The file has the mode and the
// owner of the original.
func (f *upstreamFile) put(path string, text []byte) (err error) {
	temp := path + ".tmp"
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreMissing(os.Remove(temp)))
		}
	}()
	out, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, f.info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	if err == nil {
		err = out.Chmod(f.info.Mode().Perm()) // the umask cleared some bits
	}
	if err == nil {
		err = keepOwner(out, f.info)
	}
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	if err = os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
