package proxy_test

import (
	"encoding/json"
	"io"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"holdfast/proxy"
)

// TestImportDirection holds the packages to the direction that ARCHITECTURE.md states.
func TestImportDirection(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "holdfast/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	seen := 0
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen++
		for _, imp := range p.Imports {
			if strings.HasPrefix(imp, "holdfast/") && !mayImport(p.ImportPath, imp) {
				t.Errorf("%s must not import %s", p.ImportPath, imp)
			}
			if imp == "github.com/redis/go-redis/v9" && p.ImportPath != "holdfast/proxy/upstream" &&
				p.ImportPath != "holdfast/proxy/proxytest" {
				t.Errorf("%s must not use go-redis; package upstream does", p.ImportPath)
			}
		}
	}
	if seen < 8 {
		t.Fatalf("only %d packages were looked at", seen)
	}
}

// TestServerExports holds the Server to its purpose: the operator's questions go to its console.
func TestServerExports(t *testing.T) {
	t.Parallel()
	var got []string
	for m := range reflect.TypeFor[*proxy.Server]().Methods() {
		got = append(got, m.Name)
	}
	if want := []string{"Addrs", "Alive", "InForce", "Readiness", "Reload", "Run"}; !slices.Equal(got, want) {
		t.Errorf("the Server exports %q, want %q", got, want)
	}
}

// mayImport says which of our packages pkg may import.
func mayImport(pkg, imp string) bool {
	under := func(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }
	switch {
	case imp == "holdfast/journal/vfs/vfstest": // tests only, whose imports are not looked at
		return false
	case under(pkg, "holdfast/cmd"), under(pkg, "holdfast/loadtest"):
		return true
	case under(pkg, "holdfast/policy"):
		return under(imp, "holdfast/policy")
	case under(pkg, "holdfast/journal"):
		return under(imp, "holdfast/journal")
	case under(pkg, "holdfast/configs"):
		return under(imp, "holdfast/configs")
	case pkg == "holdfast/proxy/audit":
		return under(imp, "holdfast/policy") || imp == "holdfast/journal/seldom"
	case pkg == "holdfast/proxy/approvals":
		return imp == "holdfast/proxy/admin" || imp == "holdfast/proxy/audit"
	case pkg == "holdfast/proxy/durable":
		// Loop and sessions come through its Env and Client.
		return under(imp, "holdfast/policy") || imp == "holdfast/journal/tap" || imp == "holdfast/proxy/queue" ||
			imp == "holdfast/proxy/resp" || imp == "holdfast/proxy/telemetry" || imp == "holdfast/proxy/upstream"
	case pkg == "holdfast/proxy/recorder":
		return under(imp, "holdfast/journal") || under(imp, "holdfast/proxy/admin") || imp == "holdfast/proxy/durable" ||
			imp == "holdfast/proxy/telemetry" || imp == "holdfast/proxy/upstream"
	case pkg == "holdfast/proxy/trash":
		return under(imp, "holdfast/policy") || imp == "holdfast/journal/seldom" || under(imp, "holdfast/proxy/admin") ||
			imp == "holdfast/proxy/durable" || imp == "holdfast/proxy/resp" || imp == "holdfast/proxy/telemetry" ||
			imp == "holdfast/proxy/upstream"
	case pkg == "holdfast/proxy/guard":
		return under(imp, "holdfast/policy") || imp == "holdfast/journal/seldom"
	case pkg == "holdfast/proxy":
		return !under(imp, "holdfast/configs") && !under(imp, "holdfast/cmd")
	}
	// The children of proxy never import it.
	return imp != "holdfast/proxy" && under(imp, "holdfast/proxy") ||
		under(imp, "holdfast/policy") || under(imp, "holdfast/journal")
}
