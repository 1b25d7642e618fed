// Program vcenter is a vCenter to try the gateway on: VMware's own govmomi simulator, extended where it is untrue.
//
// Why it exists: the simulator accepts any password, finishes every task at once, enforces no permission and ignores
// half of a clone. A gateway proved on that would be proved on a fairy tale. Each file here mends one such thing; the
// rest of the API (inventory, property collector, views) is VMware's code, unchanged.
//
// Called by pcg.clouds.vsphere.simulator (Python: builder.py, launcher.py). Accounts come from the environment
// variable VCENTER_ACCOUNTS, so that no password stands in argv. One JSON line on standard output says it is ready.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address of the vCenter API (HTTPS)")
	control := flag.String("control", "127.0.0.1:0", "address of the control API (HTTP, loopback only)")
	state := flag.String("state", "", "directory that keeps the certificate; the datastore lies in it too")
	template := flag.String("template", "ubuntu-2204-k8s-1.30", "template in the folder spectro-templates")
	strangers := flag.Int("strangers", 3, "number of machines that belong to somebody else")
	delays := flag.String("delay", "CloneVM_Task=1,PowerOnVM_Task=0.3,PowerOffVM_Task=0.3,ReconfigVM_Task=0.2,Destroy_Task=0.3",
		"seconds that tasks take: METHOD=SECONDS,…")
	verbose := flag.Bool("verbose", false, "log what the simulator does")
	leash := flag.Bool("leash", false, "end when standard input ends, so that no starter's death leaves us behind")
	flag.Parse()

	if *state == "" {
		log.Fatal("-state DIRECTORY is needed")
	}
	if !*verbose {
		log.SetOutput(io.Discard)
	}
	check(os.MkdirAll(*state, 0o700))
	accounts, err := readAccounts(os.Getenv("VCENTER_ACCOUNTS"))
	check(err)
	taskDelays, err := parseDelays(*delays)
	check(err)

	listener, err := net.Listen("tcp", *listen)
	check(err)
	controlListener := loopbackListener(*control)
	host, _, _ := net.SplitHostPort(listener.Addr().String())
	certificate, thumbprint, err := loadCertificate(*state, host)
	check(err)

	datastore := filepath.Join(*state, "datastore")
	check(os.RemoveAll(datastore)) // the inventory is made anew at each start, and so are its files
	vcenter, err := newVcenter(accounts, taskDelays, datastore, *template, *strangers, listener.Addr().String())
	check(err)

	server := &http.Server{
		Handler:           vcenter.handler(),
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		ErrorLog:          log.Default(),
		ReadHeaderTimeout: 30 * time.Second,
		// HTTP/1.1 alone, as vCenter: the property collector's long waits hold a connection each.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	controlServer := &http.Server{Handler: vcenter.controlHandler(), ReadHeaderTimeout: 30 * time.Second}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	go func() { _ = controlServer.Serve(controlListener) }()

	check(json.NewEncoder(os.Stdout).Encode(map[string]string{
		"ready":       "yes",
		"address":     listener.Addr().String(),
		"control":     "http://" + controlListener.Addr().String(),
		"thumbprint":  thumbprint,
		"certificate": filepath.Join(*state, certificateFile),
	}))

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	if *leash {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop <- syscall.SIGTERM
		}()
	}
	<-stop
	deadline, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	_ = server.Shutdown(deadline) // a long wait of a client does not hold us longer
	_ = os.RemoveAll(datastore)
}

// loopbackListener refuses to offer the control API to other machines: whoever reaches it owns the data center.
func loopbackListener(address string) net.Listener {
	listener, err := net.Listen("tcp", address)
	check(err)
	if !listener.Addr().(*net.TCPAddr).IP.IsLoopback() {
		check(&net.AddrError{Err: "the control API listens on loopback only", Addr: address})
	}
	return listener
}

func parseDelays(text string) (map[string]float64, error) {
	delays := make(map[string]float64)
	for _, part := range strings.Split(text, ",") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		seconds, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, err
		}
		delays[name] = seconds
	}
	return delays, nil
}

func check(err error) {
	if err != nil {
		_, _ = io.WriteString(os.Stderr, "vcenter: "+err.Error()+"\n")
		os.Exit(1)
	}
}
