# Trusts the test certificate of this package and installs the driver; -Uninstall takes both back.
# Run in an elevated PowerShell.
param([switch]$Uninstall)

$ErrorActionPreference = 'Stop'
$tool = Join-Path $PSScriptRoot 'syncstress.exe'
$file = Join-Path $PSScriptRoot 'syncstress-test.cer'
$stores = 'Cert:\LocalMachine\Root', 'Cert:\LocalMachine\TrustedPublisher'

$principal = [Security.Principal.WindowsPrincipal][Security.Principal.WindowsIdentity]::GetCurrent()
if (-not $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
    throw 'This changes the system: run it in an elevated PowerShell.'
}

if ($Uninstall) {
    & $tool uninstall
    $code = $LASTEXITCODE
    $thumbprint = (Get-PfxCertificate -FilePath $file).Thumbprint
    foreach ($store in $stores) {
        Get-ChildItem $store | Where-Object Thumbprint -eq $thumbprint | Remove-Item
    }
    exit $code
}

foreach ($store in $stores) {
    Import-Certificate -FilePath $file -CertStoreLocation $store | Out-Null
}
& $tool install
if ($LASTEXITCODE -ne 0) {
    & $tool doctor
    exit 1
}
