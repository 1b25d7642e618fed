package main

// Hosts and storage as a real cluster has them: enough CPUs and memory, a time service with a clock that may be wrong,
// maintenance mode, a datastore whose free space is not this machine's. What tests change comes by the control API.

import (
	"encoding/json"
	"net/http"
	"sort"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	gib           = int64(1) << 30
	hostCores     = 32
	hostMemory    = 256 * gib
	datastoreSize = 8192 * gib
)

// hostClock is a host's HostDateTimeSystem; the simulator has none.
type hostClock struct {
	mo.HostDateTimeSystem

	host   types.ManagedObjectReference
	offset time.Duration
}

func (c *hostClock) QueryDateTime(*types.QueryDateTime) soap.HasFault {
	return &methods.QueryDateTimeBody{
		Res: &types.QueryDateTimeResponse{Returnval: time.Now().UTC().Add(c.offset)},
	}
}

// furnish gives the hosts and the datastore their size, and every host its clock.
func (v *vcenter) furnish() {
	var mounts []types.DatastoreHostMount
	for _, host := range hosts() {
		host.Summary.Hardware.NumCpuCores, host.Summary.Hardware.NumCpuThreads = hostCores, 2*hostCores
		host.Summary.Hardware.MemorySize, host.Hardware.MemorySize = hostMemory, hostMemory
		host.Config.DateTimeInfo = &types.HostDateTimeInfo{
			TimeZone:  types.HostDateTimeSystemTimeZone{Key: "UTC", Name: "UTC", Description: "UTC"},
			NtpConfig: &types.HostNtpConfig{Server: []string{"ntp.example.com"}},
		}
		services := *host.Config.Service // the hosts share one otherwise
		services.Service = append([]types.HostService{}, services.Service...)
		host.Config.Service = &services
		setTimeService(host, true)
		clock := &hostClock{host: host.Self}
		clock.Self = types.ManagedObjectReference{Type: "HostDateTimeSystem", Value: "dateTimeSystem-" + host.Self.Value}
		reference := simulator.Map.Put(clock).Reference()
		host.ConfigManager.DateTimeSystem = &reference
		mounts = append(mounts, types.DatastoreHostMount{
			Key: host.Self,
			MountInfo: types.HostMountInfo{
				AccessMode: string(types.HostMountModeReadWrite), Mounted: types.NewBool(true), Accessible: types.NewBool(true),
			},
		})
	}
	for _, entity := range simulator.Map.All("Datastore") {
		datastore := entity.(*simulator.Datastore)
		datastore.Host = mounts
		datastore.Summary.Capacity, datastore.Summary.Accessible = datastoreSize, true
		datastore.Summary.MaintenanceMode = string(types.DatastoreSummaryMaintenanceModeStateNormal)
		setFree(datastore, datastoreSize)
	}
	// By this tag clients tell a switch's own uplinks from the port groups that machines are connected to.
	for _, entity := range simulator.Map.All("DistributedVirtualPortgroup") {
		if group := entity.(*simulator.DistributedVirtualPortgroup); strings.Contains(group.Name, "-DVUplinks") {
			group.Tag = []types.Tag{{Key: "SYSTEM/DVS.UPLINKPG"}}
		}
	}
}

// queryDateTime: vCenter wants Host.Config.DateTime even for reading a clock. nil: allowed.
func (v *vcenter) queryDateTime(user string, request *types.QueryDateTime) *answer {
	clock, ok := simulator.Map.Get(request.This).(*hostClock)
	if !ok {
		return nil
	}
	v.inventory.RLock()
	defer v.inventory.RUnlock()
	const privilege = "Host.Config.DateTime"
	if !v.privilegesOn(user, clock.host)[privilege] {
		fault := &types.NoPermission{Object: clock.host, PrivilegeId: privilege}
		return refuse(fault, "Permission to perform this operation was denied.")
	}
	return nil
}

func hosts() []*simulator.HostSystem {
	var found []*simulator.HostSystem
	for _, entity := range simulator.Map.All("HostSystem") {
		found = append(found, entity.(*simulator.HostSystem))
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Name < found[j].Name })
	return found
}

func setTimeService(host *simulator.HostSystem, running bool) {
	for i := range host.Config.Service.Service {
		if host.Config.Service.Service[i].Key == "ntpd" {
			host.Config.Service.Service[i].Running = running
		}
	}
}

func setFree(datastore *simulator.Datastore, free int64) {
	datastore.Summary.FreeSpace = free
	datastore.Info.GetDatastoreInfo().FreeSpace = free
}

// hostChange is what a test may do to a host; what is left out stays. `Name` is the name that vCenter shows.
type hostChange struct {
	Name        *string   `json:"name"`
	Maintenance *bool     `json:"maintenance"`
	Connected   *bool     `json:"connected"`
	CPUThreads  *int16    `json:"cpuThreads"`
	MemoryGiB   *int64    `json:"memoryGiB"`
	NTPServers  *[]string `json:"ntpServers"`
	NTPRunning  *bool     `json:"ntpRunning"`
	ClockOffset *float64  `json:"clockOffset"` // seconds
}

type datastoreChange struct {
	FreeGiB     *int64  `json:"freeGiB"`
	Accessible  *bool   `json:"accessible"`
	Maintenance *string `json:"maintenance"` // as DatastoreSummary.maintenanceMode
	Mounted     *bool   `json:"mounted"`     // whether any host can reach it
}

// infrastructure adds POST /hosts/NAME, POST /datastores/NAME and POST /licence to the control API.
func (v *vcenter) infrastructure(mux *http.ServeMux) {
	mux.HandleFunc("/hosts/", func(w http.ResponseWriter, r *http.Request) {
		var change hostChange
		for _, host := range hosts() {
			if host.Name == strings.TrimPrefix(r.URL.Path, "/hosts/") && decoded(w, r, &change) {
				v.inventory.Lock()
				defer v.inventory.Unlock()
				simulator.Map.WithLock(host, func() { changeHost(host, change) })
				reply(w, map[string]string{})
				return
			}
		}
		http.NotFound(w, r)
	})
	mux.HandleFunc("/datastores/", func(w http.ResponseWriter, r *http.Request) {
		var change datastoreChange
		for _, entity := range simulator.Map.All("Datastore") {
			datastore := entity.(*simulator.Datastore)
			if datastore.Name == strings.TrimPrefix(r.URL.Path, "/datastores/") && decoded(w, r, &change) {
				v.inventory.Lock()
				defer v.inventory.Unlock()
				simulator.Map.WithLock(datastore, func() { changeDatastore(datastore, change) })
				reply(w, map[string]string{})
				return
			}
		}
		http.NotFound(w, r)
	})
	mux.HandleFunc("/licence", v.postLicence)
}

func decoded(w http.ResponseWriter, r *http.Request, into interface{}) bool {
	return r.Method == http.MethodPost && json.NewDecoder(r.Body).Decode(into) == nil
}

func changeHost(host *simulator.HostSystem, change hostChange) {
	if change.Name != nil {
		host.Name, host.Summary.Config.Name = *change.Name, *change.Name
	}
	if change.Maintenance != nil {
		host.Runtime.InMaintenanceMode = *change.Maintenance
	}
	if change.Connected != nil {
		host.Runtime.ConnectionState = types.HostSystemConnectionStateConnected
		if !*change.Connected {
			host.Runtime.ConnectionState = types.HostSystemConnectionStateNotResponding
		}
	}
	if change.CPUThreads != nil {
		host.Summary.Hardware.NumCpuThreads = *change.CPUThreads
	}
	if change.MemoryGiB != nil {
		host.Summary.Hardware.MemorySize = *change.MemoryGiB * gib
	}
	if change.NTPServers != nil {
		host.Config.DateTimeInfo.NtpConfig = &types.HostNtpConfig{Server: *change.NTPServers}
	}
	if change.NTPRunning != nil {
		setTimeService(host, *change.NTPRunning)
	}
	if change.ClockOffset != nil {
		clock := simulator.Map.Get(*host.ConfigManager.DateTimeSystem).(*hostClock)
		clock.offset = time.Duration(*change.ClockOffset * float64(time.Second))
	}
}

func changeDatastore(datastore *simulator.Datastore, change datastoreChange) {
	if change.FreeGiB != nil {
		setFree(datastore, *change.FreeGiB*gib)
	}
	if change.Accessible != nil {
		datastore.Summary.Accessible = *change.Accessible
	}
	if change.Maintenance != nil {
		datastore.Summary.MaintenanceMode = *change.Maintenance
	}
	if change.Mounted != nil {
		for i := range datastore.Host {
			datastore.Host[i].MountInfo.Accessible = types.NewBool(*change.Mounted)
		}
	}
}

// postLicence sets the day on which the vCenter's evaluation ends: {"expires": RFC 3339}.
func (v *vcenter) postLicence(w http.ResponseWriter, r *http.Request) {
	var change struct {
		Expires time.Time `json:"expires"`
	}
	if !decoded(w, r, &change) {
		http.Error(w, "POST {\"expires\": RFC 3339}", http.StatusBadRequest)
		return
	}
	v.inventory.Lock()
	defer v.inventory.Unlock()
	manager := simulator.Map.Get(*v.content.LicenseManager).(*simulator.LicenseManager)
	manager.Evaluation.Properties = []types.KeyAnyValue{{Key: "expirationDate", Value: change.Expires}}
	reply(w, map[string]string{})
}
