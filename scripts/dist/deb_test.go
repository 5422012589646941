package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// members splits an ar archive.
func members(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	rest, ok := bytes.CutPrefix(data, []byte("!<arch>\n"))
	if !ok {
		t.Fatal("it is no ar archive")
	}
	out := map[string][]byte{}
	for len(rest) > 0 {
		size, err := strconv.Atoi(strings.TrimSpace(string(rest[48:58])))
		if err != nil || string(rest[58:60]) != "`\n" {
			t.Fatalf("a header: %q", rest[:60])
		}
		out[strings.TrimSpace(string(rest[:16]))] = rest[60 : 60+size]
		rest = rest[60+size+size%2:]
	}
	return out
}

func smallDeb(t *testing.T, version string) []byte {
	t.Helper()
	data, err := debPackage(testDocuments(t), smallProgram(t), runtime.GOARCH, version, commitTime)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDebContent(t *testing.T) {
	t.Parallel()
	parts := members(t, smallDeb(t, "v1.0.0"))
	if string(parts["debian-binary"]) != "2.0\n" || len(parts) != 3 {
		t.Fatalf("the members are %d", len(parts))
	}
	files := unpack(t, parts["data.tar.gz"])
	expectFiles(t, files, map[string]int64{
		"usr/bin/holdfast": 0o755, "usr/lib/systemd/system/holdfast.service": 0o644, "etc/holdfast/holdfast.yaml": 0o640,
		"var/lib/holdfast/": 0o700, "var/log/holdfast/": 0o700, "usr/share/man/man1/holdfast.1.gz": 0o644,
		"usr/share/man/man5/holdfast.yaml.5.gz": 0o644, "usr/share/bash-completion/completions/holdfast": 0o644,
		"usr/share/zsh/vendor-completions/_holdfast": 0o644, "usr/share/fish/vendor_completions.d/holdfast.fish": 0o644,
		"usr/share/doc/holdfast/copyright": 0o644, "usr/share/doc/holdfast/examples/agents.yaml": 0o644,
		"usr/share/doc/holdfast/examples/holdfast.socket": 0o644,
	})
	unit := string(files["usr/lib/systemd/system/holdfast.service"].data)
	for _, want := range []string{"ExecStart=/usr/bin/holdfast serve", "\nUser=holdfast\n", "\nType=notify\n", "[Install]"} {
		if !strings.Contains(unit, want) {
			t.Errorf("the unit lacks %q", want)
		}
	}
	if strings.Contains(unit, "/usr/local") || strings.Contains(unit, "DynamicUser") {
		t.Errorf("the unit is that of an installation by hand:\n%s", unit)
	}
	control := unpack(t, parts["control.tar.gz"])
	expectFiles(t, control, map[string]int64{"control": 0o644, "md5sums": 0o644, "postinst": 0o755, "prerm": 0o755, "postrm": 0o755})
	if got := string(control["conffiles"].data); got != "/etc/holdfast/holdfast.yaml\n" {
		t.Errorf("conffiles: %q", got)
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		cmd := exec.Command("sh", "-n")
		cmd.Stdin = bytes.NewReader(control[script].data)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", script, err, out)
		}
	}
}

// A debTree is a folder that dpkg installs into, as into a machine.
type debTree struct {
	t    *testing.T
	root string
}

func newDebTree(t *testing.T) *debTree {
	t.Helper()
	tree := &debTree{t, t.TempDir()}
	if err := os.Chmod(tree.root, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"var/lib/dpkg/status": "", "var/lib/dpkg/available": "", "var/lib/dpkg/info/format": "1\n", "var/lib/dpkg/updates/x": "",
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n", "etc/shadow": "root:*:1::::::\n",
		"etc/gshadow": "root:*::\n", "etc/login.defs": "SYS_UID_MIN 100\nSYS_UID_MAX 999\nSYS_GID_MIN 100\nSYS_GID_MAX 999\n",
	} {
		path := filepath.Join(tree.root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(tree.root, "var/lib/dpkg/updates/x")); err != nil {
		t.Fatal(err)
	}
	return tree
}

// dpkg runs it on the tree; the maintainer's scripts run outside of it, with DPKG_ROOT.
func (d *debTree) dpkg(args ...string) string {
	d.t.Helper()
	args = append([]string{"--root=" + d.root, "--force-script-chrootless", "--force-depends", "--log=" + filepath.Join(d.root, "log")},
		args...)
	out, err := exec.Command("dpkg", args...).CombinedOutput()
	if err != nil {
		d.t.Fatalf("dpkg %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func (d *debTree) exists(name string) bool {
	_, err := os.Stat(filepath.Join(d.root, name))
	return err == nil
}

func (d *debTree) write(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.root, name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// dpkg installs, upgrades, removes and purges the package. What the operator wrote, and the journal,
// survive all of it.
func TestDebInATree(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("dpkg"); err != nil || os.Geteuid() != 0 {
		t.Log("without dpkg and root the package was only read")
		return
	}
	tree := newDebTree(t)
	file := filepath.Join(t.TempDir(), "holdfast.deb")
	for _, version := range []string{"v1.0.0", "v1.1.0"} {
		if err := os.WriteFile(file, smallDeb(t, version), 0o600); err != nil {
			t.Fatal(err)
		}
		out := tree.dpkg("--install", file)
		if version == "v1.0.0" && !strings.Contains(out, "systemctl enable --now holdfast") ||
			version == "v1.1.0" && !strings.Contains(out, "goes on with the old version") {
			t.Errorf("the installation of %s says\n%s", version, out)
		}
		if got, err := exec.Command(filepath.Join(tree.root, "usr/bin/holdfast")).CombinedOutput(); err != nil ||
			string(got) != "it runs\n" {
			t.Errorf("the installed program: %v, %s", err, got)
		}
		passwd, err := os.ReadFile(filepath.Join(tree.root, "etc/passwd"))
		if err != nil || strings.Count(string(passwd), "\nholdfast:x:") != 1 {
			t.Fatalf("the user: %v\n%s", err, passwd)
		}
		expectOwner(t, filepath.Join(tree.root, "var/lib/holdfast"), string(passwd), 0o700)
		if version == "v1.0.0" {
			tree.write("etc/holdfast/holdfast.yaml", "listeners: []\n")
			tree.write("var/lib/holdfast/journal", "the only copy")
			tree.write("var/log/holdfast/audit.log", "{}")
		}
	}
	if text, err := os.ReadFile(filepath.Join(tree.root, "etc/holdfast/holdfast.yaml")); string(text) != "listeners: []\n" {
		t.Errorf("the upgrade has overwritten the configuration: %v, %s", err, text)
	}
	if out := tree.dpkg("--verify", "holdfast"); strings.Contains(out, "usr/") {
		t.Errorf("dpkg --verify: %s", out)
	}
	tree.dpkg("--remove", "holdfast")
	if tree.exists("usr/bin/holdfast") || !tree.exists("etc/holdfast/holdfast.yaml") || !tree.exists("var/lib/holdfast/journal") {
		t.Error("a removal takes the program, and nothing else")
	}
	out := tree.dpkg("--purge", "holdfast")
	if tree.exists("etc/holdfast/holdfast.yaml") || tree.exists("var/log/holdfast") ||
		!tree.exists("var/lib/holdfast/journal") || !strings.Contains(out, "journal") {
		t.Errorf("a purge takes configuration and log, and leaves the journal, with a word about it:\n%s", out)
	}
}
