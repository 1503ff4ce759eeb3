import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0004_a_retry_names_its_job'),
    ]

    operations = [
        migrations.AlterField(
            model_name='job',
            name='kind',
            field=models.CharField(max_length=40),
        ),
        migrations.AlterField(
            model_name='job',
            name='state',
            field=models.CharField(choices=[('queued', 'Queued'), ('waiting', 'Waiting'), ('running', 'Running'), ('cancelling', 'Cancelling'), ('succeeded', 'Succeeded'), ('failed', 'Failed'), ('errored', 'Errored'), ('cancelled', 'Cancelled'), ('interrupted', 'Interrupted')], default='queued', max_length=12),
        ),
        migrations.AlterField(
            model_name='jobtarget',
            name='job',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to='jobs.job'),
        ),
        migrations.AlterField(
            model_name='jobtarget',
            name='machine',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to='inventory.machine'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['kind', '-id'], name='job_kind'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['state', '-id'], name='job_state'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['kind', 'state', '-id'], name='job_kind_state'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['kind', 'created_by', '-id'], name='job_kind_person'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['state', 'created_by', '-id'], name='job_state_person'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['kind', 'state', 'created_by', '-id'], name='job_kind_state_person'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('cause', ''), _negated=True), fields=['-id', 'kind', 'state', 'created_by', 'cause'], name='job_cause'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['-ended_at'], name='job_ended'),
        ),
        migrations.AddIndex(
            model_name='jobtarget',
            index=models.Index(fields=['machine', '-job'], name='jobs_of_machine'),
        ),
    ]
