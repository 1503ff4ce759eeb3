from django.urls import include, path

from console.access.pages import Login, Logout
from console.pages import overview
from console.preferences import preferences
from hardware.inventory import pages as machines

urlpatterns = [
    path("", overview, name="overview"),
    path("login/", Login.as_view(), name="login"),
    path("logout/", Logout.as_view(), name="logout"),
    path("preferences/", preferences, name="preferences"),
    path("machines/", machines.machines, name="machines"),
    path("machines/add/", machines.add, name="machine-add"),
    path("machines/<str:name>/", machines.machine, name="machine"),
    path("machines/<str:name>/probe/", machines.probe_now, name="machine-probe"),
    path("machines/<str:name>/confirm/", machines.confirm_key, name="machine-confirm"),
    path("api/v1/", include("console.api.urls")),
]
