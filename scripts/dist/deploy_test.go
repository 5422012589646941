package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"holdfast/configs"
)

// An object is one of Kubernetes, as far as the test looks at it.
type object struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name string }
	Data       map[string]string
	Spec       struct {
		Replicas             int
		Selector             yaml.MapSlice
		Template             podTemplate
		ServiceName          string                                     `yaml:"serviceName"`
		VolumeClaimTemplates []struct{ Metadata struct{ Name string } } `yaml:"volumeClaimTemplates"`
		Ports                []struct {
			Name       string
			Port       int
			TargetPort string `yaml:"targetPort"`
		}
	}
}

type podTemplate struct {
	Metadata struct{ Labels map[string]string }
	Spec     struct {
		TerminationGracePeriodSeconds int             `yaml:"terminationGracePeriodSeconds"`
		SecurityContext               securityContext `yaml:"securityContext"`
		InitContainers                []container     `yaml:"initContainers"`
		Containers                    []container
		Volumes                       []struct {
			Name      string
			ConfigMap struct{ Name string } `yaml:"configMap"`
		}
	}
}

type securityContext struct {
	RunAsNonRoot             bool  `yaml:"runAsNonRoot"`
	ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
	AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

type container struct {
	Name          string
	Args          []string
	RestartPolicy string `yaml:"restartPolicy"`
	Ports         []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	LivenessProbe  probe `yaml:"livenessProbe"`
	ReadinessProbe probe `yaml:"readinessProbe"`
	Lifecycle      struct {
		PreStop struct{ Sleep struct{ Seconds int } } `yaml:"preStop"`
	}
	SecurityContext securityContext `yaml:"securityContext"`
	VolumeMounts    []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

func objects(t *testing.T, file string) (out []object) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var o object
		if err := d.Decode(&o); err == io.EOF {
			return out
		} else if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out = append(out, o)
	}
}

// The manifests fit together: ports, probes, selectors, volumes, and the configuration that they
// carry, which this version accepts.
func TestKubernetesManifests(t *testing.T) {
	t.Parallel()
	for name, kinds := range map[string]string{
		"deployment.yaml":  "ConfigMap Deployment Service PodDisruptionBudget",
		"statefulset.yaml": "ConfigMap StatefulSet Service Service PodDisruptionBudget",
		"sidecar.yaml":     "ConfigMap Deployment",
	} {
		t.Run(name, func(t *testing.T) {
			all := objects(t, filepath.Join("../../deploy/kubernetes", name))
			var got []string
			for _, o := range all {
				got = append(got, o.Kind)
				if o.APIVersion == "" || o.Metadata.Name == "" {
					t.Errorf("%+v", o)
				}
			}
			if strings.Join(got, " ") != kinds {
				t.Errorf("kinds: %q", got)
			}
			config, err := configs.Parse(name, []byte(all[0].Data["holdfast.yaml"]))
			if err != nil {
				t.Fatal(err)
			}
			checkWorkload(t, &all[1], config, all[0].Metadata.Name)
			for _, o := range all[2:] {
				checkSelector(t, &o, &all[1])
			}
		})
	}
}

func checkWorkload(t *testing.T, o *object, config *configs.Config, configMap string) {
	t.Helper()
	pod := o.Spec.Template.Spec
	c := pod.Containers[0]
	if len(pod.InitContainers) > 0 {
		if c = pod.InitContainers[0]; c.RestartPolicy != "Always" {
			t.Error("it is no sidecar")
		}
	}
	if c.Name != "holdfast" || !(pod.SecurityContext.RunAsNonRoot || c.SecurityContext.RunAsNonRoot) ||
		!c.SecurityContext.ReadOnlyRootFilesystem || c.SecurityContext.AllowPrivilegeEscalation == nil ||
		*c.SecurityContext.AllowPrivilegeEscalation {
		t.Errorf("its rights: %+v", c)
	}
	ports := map[string]string{}
	for _, p := range c.Ports {
		ports[p.Name] = fmt.Sprint(":", p.ContainerPort)
	}
	if !strings.HasSuffix(config.Admin.HTTP, ports["http"]) || config.Admin.PasswordFile == "" ||
		ports["redis"] != "" && config.Listeners[0].Address != ports["redis"] {
		t.Errorf("ports %q do not fit the configuration", ports)
	}
	if c.LivenessProbe.HTTPGet.Path != "/healthz" || c.LivenessProbe.HTTPGet.Port != "http" ||
		c.ReadinessProbe.HTTPGet.Path != "/readyz" || c.ReadinessProbe.HTTPGet.Port != "http" {
		t.Errorf("probes: %+v %+v", c.LivenessProbe, c.ReadinessProbe)
	}
	pause := c.Lifecycle.PreStop.Sleep.Seconds
	if len(pod.InitContainers) == 0 && pause == 0 ||
		pod.TerminationGracePeriodSeconds <= pause+int(config.Drain.Seconds()) {
		t.Errorf("it has %d s to end, and needs %d + %v", pod.TerminationGracePeriodSeconds, pause, config.Drain)
	}
	checkVolumes(t, o, &c, config, configMap)
}

func checkVolumes(t *testing.T, o *object, c *container, config *configs.Config, configMap string) {
	t.Helper()
	volumes := map[string]bool{}
	for _, v := range o.Spec.Template.Spec.Volumes {
		volumes[v.Name] = true
		if v.Name == "config" && v.ConfigMap.Name != configMap {
			t.Errorf("the configuration comes from %s", v.ConfigMap.Name)
		}
	}
	for _, claim := range o.Spec.VolumeClaimTemplates {
		volumes[claim.Metadata.Name] = true
	}
	mounted := func(path string) bool {
		for _, m := range c.VolumeMounts {
			if strings.HasPrefix(path, m.MountPath+"/") {
				return true
			}
		}
		return false
	}
	for _, m := range c.VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("the volume %s is nowhere", m.Name)
		}
	}
	for _, path := range []string{c.Args[len(c.Args)-1], config.Upstream.PasswordFile, config.Admin.PasswordFile,
		config.Journal.Dir, config.Audit.File} {
		if path != "" && !mounted(path) {
			t.Errorf("%s lies on no volume", path)
		}
	}
}

// checkSelector requires the labels of the pods to be those that a Service or a budget selects.
func checkSelector(t *testing.T, o, workload *object) {
	t.Helper()
	text, err := yaml.Marshal(o.Spec.Selector)
	if err != nil {
		t.Fatal(err)
	}
	for label, value := range workload.Spec.Template.Metadata.Labels {
		if !strings.Contains(string(text), label+": "+value) {
			t.Errorf("%s %s selects %s", o.Kind, o.Metadata.Name, text)
		}
	}
	for _, p := range o.Spec.Ports {
		found := false
		for _, c := range workload.Spec.Template.Spec.Containers[0].Ports {
			found = found || c.Name == p.TargetPort && c.ContainerPort == p.Port
		}
		if !found {
			t.Errorf("%s %s: the port %s is nowhere", o.Kind, o.Metadata.Name, p.Name)
		}
	}
}

// The compose file's configuration is accepted, and its ports are the published ones.
func TestCompose(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct {
			Ports, Networks, Volumes []string
			Healthcheck              struct{ Test []string }
			Configs                  []struct{ Target string }
		}
		Configs map[string]struct{ Content string }
	}
	if err := yaml.Unmarshal(text, &compose); err != nil {
		t.Fatal(err)
	}
	config, err := configs.Parse("compose", []byte(compose.Configs["holdfast"].Content))
	if err != nil {
		t.Fatal(err)
	}
	proxy, server := compose.Services["holdfast"], compose.Services["server"]
	if got := strings.Join(proxy.Ports, " "); !strings.Contains(got, "127.0.0.1:6380"+config.Listeners[0].Address) ||
		!strings.Contains(got, "127.0.0.1:9390"+config.Admin.HTTP) {
		t.Errorf("ports: %s", got)
	}
	if got := strings.Join(proxy.Healthcheck.Test, " "); got != "CMD /usr/bin/holdfast check --ready --config "+proxy.Configs[0].Target {
		t.Errorf("health check: %s", got)
	}
	if len(server.Ports) > 0 || len(server.Networks) != 1 {
		t.Error("others than the proxy reach the server")
	}
	if !strings.HasPrefix(config.Journal.Dir, "/var/lib/holdfast/") || proxy.Volumes[0] != "journal:/var/lib/holdfast" {
		t.Errorf("the journal is in %s, the volume at %q", config.Journal.Dir, proxy.Volumes)
	}
}
