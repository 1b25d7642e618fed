package main

// The door before the simulator: every SOAP call passes here, is counted, checked against the account's privileges, and
// then either answered by us (tasks, roles, permissions) or handed on to the simulator unchanged.

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

type vcenter struct {
	service *simulator.Service
	content types.ServiceContent

	// The simulator's own locks are per object and leave gaps; one lock for all that changes the inventory closes them.
	inventory sync.RWMutex

	accounts map[string]account
	mutex    sync.Mutex // guards what follows
	sessions map[string]string
	delays   map[string]float64
	counters map[string]int
	boots    map[string]int
	answers  string
	closed   map[string]string // why an account's right password is refused

	tasks  *taskLog
	feed   *feed
	leases *leaseBook
}

func newVcenter(
	accounts map[string]account, delays map[string]float64, datastore string, template string, strangers int, address string,
) (*vcenter, error) {
	v := &vcenter{
		accounts: accounts,
		sessions: make(map[string]string),
		delays:   delays,
		counters: make(map[string]int),
		boots:    make(map[string]int),
		answers:  answersTrue,
		closed:   make(map[string]string),
		feed:     newFeed(),
	}
	v.tasks = newTaskLog()
	v.leases = &leaseBook{}
	if err := v.buildInventory(datastore, template, strangers); err != nil {
		return nil, err
	}
	v.furnish()
	v.service.Listen = &url.URL{Scheme: "https", Host: address, Path: "/sdk", User: simulator.DefaultLogin}
	v.service.RegisterSDK(simulator.Map)
	simulator.Map.SessionManager().ServiceHostName = address
	if err := v.grantAccounts(); err != nil {
		return nil, err
	}
	simulator.Map.AddHandler(v.feed)
	v.feed.bump()
	return v, nil
}

func (v *vcenter) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/sdk", v.serve)
	mux.HandleFunc("/sdk/vimService", v.serve)
	mux.HandleFunc("/sdk/vimServiceVersions.xml", v.service.ServiceVersions)
	mux.HandleFunc("/about", v.service.About)
	mux.HandleFunc("/folder/", v.service.ServeDatastore)
	mux.HandleFunc(uploadPrefix, v.serveUpload)
	return mux
}

func (v *vcenter) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<20))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.URL.Path = "/sdk"
	r.Body = io.NopCloser(bytes.NewReader(body))
	method, err := decode(body)
	if err != nil {
		v.service.ServeSDK(w, r) // it answers with the right fault
		return
	}
	v.count(method.Name)
	user := v.userOf(r)

	if login, ok := method.Body.(*types.Login); ok {
		v.login(w, r, login)
		return
	}
	if user == "" || simulator.Map.Get(method.This) == nil {
		v.forward(w, r, method.Name) // not authenticated, per-session object, or gone
	} else if reply := v.intercept(user, method); reply != nil {
		reply.write(w)
	} else {
		v.forward(w, r, method.Name)
	}
	if method.Name == "Logout" {
		v.forget(r)
	}
}

// intercept answers the calls in which the simulator is untrue; nil leaves the call to the simulator.
func (v *vcenter) intercept(user string, method *simulator.Method) *answer {
	v.inventory.RLock()
	missing := v.missingPrivilege(user, method)
	v.inventory.RUnlock()
	if missing != nil {
		return refuse(missing, "Permission to perform this operation was denied.")
	}
	switch request := method.Body.(type) {
	case *types.CloneVM_Task:
		return v.clone(user, request)
	case *types.PowerOnVM_Task:
		return v.powerOn(user, request)
	case *types.PowerOffVM_Task:
		return v.powerOff(user, request)
	case *types.ReconfigVM_Task:
		return v.reconfigure(user, request)
	case *types.Destroy_Task:
		return v.destroy(user, request)
	case *types.QueryDateTime:
		return v.queryDateTime(user, request)
	case *types.Rename_Task:
		return v.rename(user, request)
	case *types.ImportVApp:
		return v.importVApp(user, request)
	case *types.HttpNfcLeaseProgress, *types.HttpNfcLeaseComplete, *types.HttpNfcLeaseAbort:
		return v.leaseCall(method)
	case *types.CancelTask:
		return v.cancelTask(user, request)
	case *types.QueryEvents:
		return v.queryEvents(request)
	case *types.AddAuthorizationRole:
		return v.addRole(request)
	case *types.SetEntityPermissions:
		return v.setPermissions(request)
	case *types.RemoveEntityPermission:
		return v.removePermission(request)
	case *types.HasPrivilegeOnEntities:
		return v.hasPrivilegeOnEntities(request)
	case *types.HasUserPrivilegeOnEntities:
		return v.hasUserPrivilegeOnEntities(request)
	case *types.FetchUserPrivilegeOnEntities:
		return v.fetchUserPrivilegeOnEntities(request)
	}
	return nil
}

// forward hands a call to the simulator. Waits must hold no lock: they last until something changes.
func (v *vcenter) forward(w http.ResponseWriter, r *http.Request, method string) {
	switch method {
	case "WaitForUpdatesEx", "WaitForUpdates", "CancelWaitForUpdates":
	case "RetrievePropertiesEx", "RetrieveProperties", "RetrieveServiceContent", "CurrentTime":
		v.inventory.RLock()
		defer v.inventory.RUnlock()
	default:
		v.inventory.Lock()
		defer v.inventory.Unlock()
	}
	v.service.ServeSDK(w, r)
}

func (v *vcenter) login(w http.ResponseWriter, r *http.Request, login *types.Login) {
	v.mutex.Lock()
	known, ok := v.accounts[login.UserName]
	state := v.closed[login.UserName]
	v.mutex.Unlock()
	if ok && known.Password == login.Password && state == passwordExpired {
		refuse(&types.PasswordExpired{}, "The password has expired.").write(w)
		return
	}
	if !ok || known.Password != login.Password || state == accountLocked { // which vCenter does not tell apart
		refuse(&types.InvalidLogin{}, "Cannot complete login due to an incorrect user name or password.").write(w)
		return
	}
	v.forward(w, r, "Login")
	for _, cookie := range (&http.Response{Header: w.Header()}).Cookies() {
		if cookie.Name == soap.SessionCookieName {
			v.mutex.Lock()
			v.sessions[cookie.Value] = login.UserName
			v.mutex.Unlock()
		}
	}
}

func (v *vcenter) userOf(r *http.Request) string {
	cookie, err := r.Cookie(soap.SessionCookieName)
	if err != nil {
		return ""
	}
	v.mutex.Lock()
	defer v.mutex.Unlock()
	return v.sessions[trimQuotes(cookie.Value)]
}

func (v *vcenter) forget(r *http.Request) {
	if cookie, err := r.Cookie(soap.SessionCookieName); err == nil {
		v.mutex.Lock()
		delete(v.sessions, trimQuotes(cookie.Value))
		v.mutex.Unlock()
	}
}

// trimQuotes: pyVmomi sends the cookie's value in quotes when vCenter did.
func trimQuotes(value string) string {
	return string(bytes.Trim([]byte(value), `"`))
}

func (v *vcenter) count(method string) {
	v.mutex.Lock()
	v.counters[method]++
	v.mutex.Unlock()
}
