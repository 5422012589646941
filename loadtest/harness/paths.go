package harness

import (
	"fmt"
	"os"
	"path/filepath"
)

// Root returns the root folder of the repository: the nearest folder upwards that has go.mod.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no go.mod in or above the working folder")
		}
		dir = parent
	}
}

// OutDir makes loadtest/out/name, empty, for logs and data of one run. They stay until the next.
func OutDir(root, name string) (string, error) {
	dir := filepath.Join(root, "loadtest", "out", name)
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o755)
}

// Folders returns Root, and OutDir for a run of that name.
func Folders(name string) (root, dir string, err error) {
	if root, err = Root(); err != nil {
		return "", "", err
	}
	dir, err = OutDir(root, name)
	return root, dir, err
}

// Program returns the path of a program that scripts/servers.sh has fetched, such as ("valkey",
// "valkey-server"). The error names the command that fetches it.
func Program(root, name, program string) (string, error) {
	path := filepath.Join(root, ".tools", "servers", name, "bin", program)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is not there; run scripts/servers.sh %s", path, name)
	}
	return path, nil
}

// ProxyConfig writes a configuration for the proxy, without a console, into dir and returns its path.
// Rules are the default ones unless extra has them: extra is YAML appended at the top level.
func ProxyConfig(dir, listen, upstream, http, extra string) (string, error) {
	path := filepath.Join(dir, "holdfast.yaml")
	text := fmt.Sprintf("listeners:\n  - address: %s\nupstream:\n  address: %s\n"+
		"admin:\n  address: off\n  http: %s\n%s", listen, upstream, http, extra)
	return path, os.WriteFile(path, []byte(text), 0o644)
}
