package drills

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"holdfast/loadtest/harness"
)

// run executes command i of the scene's section of the page as it stands there, but for addresses and
// values (name), in a shell in the operator's folder. It must end with code 0.
func (s *scene) run(i int) string {
	s.Helper()
	out, err := s.try(i)
	if err != nil {
		s.Fatalf("%s: %v\n%s", s.at.Commands[i], err, out)
	}
	return out
}

// try is run for a command that may fail.
func (s *scene) try(i int) (string, error) {
	s.Helper()
	if i >= len(s.at.Commands) {
		s.Fatalf("section %q has %d commands, and the drill wants number %d", s.at.Title,
			len(s.at.Commands), i)
	}
	line := s.at.Commands[i]
	s.ran[line] = true
	begin := time.Now()
	out, err := s.shell(strings.NewReplacer(s.names...).Replace(line))
	s.took += time.Since(begin)
	s.commands++
	return out, err
}

// look is run for a command that the operator needs only to know more: it does not count.
func (s *scene) look(i int) (string, error) {
	s.Helper()
	commands, took := s.commands, s.took
	out, err := s.try(i)
	s.commands, s.took = commands, took
	return out, err
}

func (s *scene) shell(line string) (string, error) {
	s.Helper()
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), s.path())
	out, err := cmd.CombinedOutput()
	s.heard(string(out))
	s.Logf("$ %s\n%s", line, out)
	return string(out), err
}

// tells records a source that informed the operator of the incident.
func (s *scene) tells(what string) { s.told = append(s.told, what) }

// logs waits for a line of the proxy's log with all of the words.
func (s *scene) logs(words ...string) string {
	s.Helper()
	var found string
	s.await(fmt.Sprintf("the log says %q", words), func() bool {
		for line := range strings.Lines(s.log()) {
			if hasInOrder(line, words) {
				found = line
				return true
			}
		}
		return false
	})
	s.heard(found)
	s.tells("log")
	return found
}

// ready waits until /readyz answers so, with the words in it.
func (s *scene) ready(code int, words string) {
	s.Helper()
	var got int
	var body string
	defer func() {
		if s.Failed() {
			s.Logf("/readyz: %d %s", got, body)
		}
	}()
	s.await(fmt.Sprintf("/readyz is %d %q", code, words), func() bool {
		got, body = s.get("/readyz")
		return got == code && strings.Contains(body, words)
	})
	s.heard(body)
	if words != "ready\n" {
		s.tells(fmt.Sprintf("`/readyz` %d", code))
	}
}

// An incident is a line of SHOW INCIDENTS.
type incident struct {
	N        int    `json:"n"`
	Timeline int    `json:"timeline"`
	State    string `json:"state"`
	Verdict  string `json:"verdict"`
	Commands int64  `json:"commands"`
	Keys     int64  `json:"keys"`
	Why      string `json:"why"`
	Run      string `json:"run"`
}

// judged waits until SHOW INCIDENTS has n, and returns the last.
func (s *scene) judged(n int) incident {
	s.Helper()
	var list []incident
	s.await(fmt.Sprintf("%d incidents", n), func() bool {
		s.show("INCIDENTS", &list)
		return len(list) >= n
	})
	text := s.ask("SHOW", "INCIDENTS")
	s.heard(list[n-1].Why)
	s.heard(list[n-1].State)
	s.Log("SHOW INCIDENTS\n" + text)
	s.tells("incident *" + list[n-1].Verdict + "*")
	return list[n-1]
}

var metricOf = regexp.MustCompile(`holdfast_\w+(\{[^}]*\})?`)

// alerts waits until the metric of an alert of configs/alerts.yaml triggers it: above zero, or zero
// where its expression compares with that.
func (s *scene) alerts(name string) {
	s.Helper()
	text, err := os.ReadFile(rootPath("configs", "alerts.yaml"))
	if err != nil {
		s.Fatal(err)
	}
	_, rule, found := strings.Cut(string(text), "alert: "+name+"\n")
	rule, _, _ = strings.Cut(rule, "labels:")
	metric := metricOf.FindString(rule)
	if !found || metric == "" {
		s.Fatalf("no alert %s", name)
	}
	prefix := strings.TrimSuffix(metric, "}")
	zero := strings.Contains(rule, "== 0")
	s.await("the metric of "+name+", "+metric, func() bool {
		_, text := s.get("/metrics")
		for line := range strings.Lines(text) {
			value := line[strings.LastIndexByte(line, ' ')+1:]
			if strings.HasPrefix(line, prefix) && (value == "0\n") == zero {
				return true
			}
		}
		return false
	})
	s.tells("`" + name + "`")
}

// refused sends a command to the proxy until it is answered with an error of that code.
func (s *scene) refused(code string, args ...string) {
	s.Helper()
	var got any
	s.await(fmt.Sprintf("%v is answered -%s", args, code), func() bool {
		got, _ = s.command(args...)
		e, ok := got.(harness.ErrReply)
		return ok && strings.HasPrefix(string(e), code)
	})
	s.heard(string(got.(harness.ErrReply)))
	s.tells("clients `-" + code + "`")
}

// answered sends a command until the proxy answers it without an error.
func (s *scene) answered(args ...string) {
	s.Helper()
	var got any
	var err error
	defer func() {
		if s.Failed() {
			s.Log("answered ", got, err)
		}
	}()
	s.await(fmt.Sprintf("%v is answered", args), func() bool {
		got, err = s.command(args...)
		_, failed := got.(harness.ErrReply)
		return err == nil && !failed
	})
}

// command is one on a connection of its own, through the proxy.
func (s *scene) command(args ...string) (any, error) {
	c, err := harness.DialClient(s.addr, replyTimeout)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Do(args...)
}

// holds compares a server's contents with the expected ones.
func (s *scene) holds(addr string, want contents) {
	s.Helper()
	got := contentsOf(s, addr)
	if text := differences(got, want); text != "" {
		s.Fatalf("%s is not as it should be: %s", addr, text)
	}
	if len(want) == 0 {
		s.Fatal("the drill compared nothing")
	}
	s.exact = true
}

// offers requires that the proxy proposes the page's command.
func (s *scene) offers(run string, i int) {
	s.Helper()
	page := strings.NewReplacer(s.names...).Replace(s.at.Commands[i])
	if plain(run) != plain(page) {
		s.Errorf("the proxy says %q, and the page %q", run, page)
	}
}

// plain is a command line without what may be spelled another way: addresses, paths, numbers.
func plain(line string) string {
	line = strings.ReplaceAll(strings.ReplaceAll(line, "redis://", ""), " ADDRESS", " 127.0.0.1:1")
	for _, name := range []string{"data/journal", "holdfast.yaml"} {
		line = strings.ReplaceAll(line, " "+name, " /a/"+name)
	}
	return Shape(line)
}
